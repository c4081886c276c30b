"""WHOHOLDS_TAG=1: what a connection is called on its server, such as `shop.py: shop/cars.py:42 load_cars`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from whoholds.analysis.blame import user_index
from whoholds.analysis.frames import frame_at

if TYPE_CHECKING:
    from whoholds.ledger.origin import Origin

MOST = 63  # bytes that PostgreSQL keeps of a name
_PLACE = 41  # characters kept of a file's own name and line; the rest is for the function
_NAMELESS = ("", "-", "-c", "-m")  # what `sys.argv[0]` holds where no file was started


def tag(origin: Origin, most: int = MOST) -> str:
    """The name of a connection opened at `origin`: program, line and function, in at most `most` bytes of ASCII.

    The text shrinks in this order until it fits: the folders of the path, the program, the end of the function.
    Called in the user's thread: it reads no file.
    """
    frame = frame_at(origin, user_index(origin), source=False)
    return _plain(_fitted(program(), frame.place, frame.function, most))


def program() -> str:
    """The name of the running program: the file that was started, or the package for `python -m package`."""
    folder, name = os.path.split((getattr(sys, "argv", None) or [""])[0])
    if name == "__main__.py":
        name = os.path.split(folder)[1]
    return "python" if name in _NAMELESS else name


def _fitted(name: str, place: str, function: str, most: int) -> str:
    parts = place.replace("\\", "/").split("/")
    for start in range(len(parts)):
        text = f"{name}: {'/'.join(parts[start:])} {function}"
        if len(text) <= most:
            return text
    short = f"{parts[-1][-_PLACE:]} {function}"
    room = most - len(short) - len(": ")
    return f"{name[:room]}: {short}" if room > 0 else short[:most]


def _plain(text: str) -> str:
    """`text` with each character that a server may not show as it is replaced by `?`."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)
