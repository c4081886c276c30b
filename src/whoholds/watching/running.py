"""The watches that run now, oldest first. A list and nothing imported, so that scopes may ask it at no cost."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from whoholds.watching.watch import Watch

# Each with its Ticker, which stands above this module. Changed by `ticker.attend` and `ticker.leave` alone.
attended: list[tuple[Watch, Any]] = []


def watches() -> list[Watch]:
    """The watches that tick, in the order in which they began."""
    return [watch for watch, _ in attended]


def current() -> Watch | None:
    """The Watch that runs, the innermost `with whoholds.watch()` first, or None."""
    return attended[-1][0] if attended else None
