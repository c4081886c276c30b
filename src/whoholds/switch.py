"""Whether the environment switches whoholds on, and whether this Python can be watched.

It must import next to nothing.
"""

import sys

ON = ("1", "true", "on", "yes")
OFF = ("", "0", "false", "off", "no")

_said: list[bool] = []


def is_on(value: str) -> bool:
    """Whether a value of `WHOHOLDS` asks for a watch: anything but unset, empty, 0, false, off or no."""
    return value.strip().lower() not in OFF


def unsupported() -> str:
    """Why nothing can be watched on this Python, as half a sentence; "" on CPython."""
    name = sys.implementation.name
    return "" if name == "cpython" else f"whoholds watches CPython only; this Python is {name}, and nothing is watched"


def stands_aside() -> bool:
    """Whether this Python cannot be watched. The first call that finds so writes the reason to stderr."""
    reason = unsupported()
    if reason and not _said:
        from whoholds.text.streams import say

        _said.append(True)
        say(reason)
    return bool(reason)
