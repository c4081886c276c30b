"""Who holds my database connections? whoholds names the line, the thread and the spawn of every open connection.

Importing this package patches nothing. `WHOHOLDS=1` in the environment, `import whoholds.auto` and `whoholds.start()`
start the watch.

PYTEST_DONT_REWRITE: pytest would warn that it cannot rewrite a module that a .pth line has imported before pytest.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any

    from whoholds.analysis.finding import Finding
    from whoholds.outputs.warn import HeldConnectionWarning
    from whoholds.scopes import scope
    from whoholds.settings.limits import Limits
    from whoholds.settings.matching import WrongSetting
    from whoholds.startup import holders, ignore, start, stop, watch, watch_module
    from whoholds.watching.holders import Holders
    from whoholds.watching.running import current
    from whoholds.watching.watch import Watch

    __version__: str

# Public name → its module, which is imported when the name is first read.
_PUBLIC = {
    "Finding": "analysis.finding",
    "HeldConnectionWarning": "outputs.warn",
    "Holders": "watching.holders",
    "Limits": "settings.limits",
    "Watch": "watching.watch",
    "WrongSetting": "settings.matching",
    "current": "watching.running",
    "holders": "startup",
    "ignore": "startup",
    "scope": "scopes",
    "start": "startup",
    "stop": "startup",
    "watch": "startup",
    "watch_module": "startup",
}

__all__ = [
    "Finding",
    "HeldConnectionWarning",
    "Holders",
    "Limits",
    "Watch",
    "WrongSetting",
    "__version__",
    "current",
    "holders",
    "ignore",
    "scope",
    "start",
    "stop",
    "watch",
    "watch_module",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from whoholds.version import VERSION

        return VERSION
    if name not in _PUBLIC:
        raise AttributeError(f"module 'whoholds' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"whoholds.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def load_ipython_extension(shell: Any) -> None:
    """Give the shell the magic `%%whoholds`. IPython calls this for `%load_ext whoholds`."""
    from whoholds.notebook import load

    load(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
