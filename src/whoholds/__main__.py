"""`python -m whoholds` is the `whoholds` command."""

import sys

from whoholds.cli import main

sys.exit(main())
