"""The watches that run now, oldest first.

This module must not import anything, so that scopes can read the list at no cost.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from whoholds.watching.watch import Watch

# Each watch with its Ticker, typed Any because that module is above this one. Only `attending.attend` and
# `attending.leave` may change the list.
attended: list[tuple[Watch, Any]] = []


def watches() -> list[Watch]:
    """The watches that are ticked now, in the order in which they began."""
    return [watch for watch, _ in attended]


def current() -> Watch | None:
    """The watch that began last, which is the innermost `with whoholds.watch()`; None if none runs."""
    return attended[-1][0] if attended else None
