"""What `whoholds.start` names (PEP 829): a callable that must import nothing but `os` unless WHOHOLDS is set.

Python 3.15 imports this module at each start, whatever the environment says, hence before pytest.
PYTEST_DONT_REWRITE: pytest would warn that it cannot rewrite a module that was imported before it.
"""

import os


def start() -> None:
    """Begin to watch if the environment asks for it; the interpreter's start-up calls this."""
    if os.environ.get("WHOHOLDS", "").strip().lower() not in ("", "0", "false", "off", "no"):
        __import__("whoholds.autostart")
