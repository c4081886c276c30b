"""Leaks: each of its requests opens a connection, and none closes it."""

import sys

from fleet import arguments, library, stay

LEAKED = []


def load_cart() -> None:
    LEAKED.append(library.connect(**arguments))


for _ in range(int(sys.argv[1])):
    load_cart()
stay()
