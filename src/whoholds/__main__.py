"""`python -m whoholds` is the `whoholds` command."""

import sys

from whoholds.commands.cli import main

sys.exit(main())
