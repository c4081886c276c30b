"""Runs without whoholds: the server knows only what the program calls itself."""

import sys

from fleet import arguments, library, name, stay

CONNECTIONS = [library.connect(**arguments, **{name: "nightly"}) for _ in range(int(sys.argv[1]))]
stay()
