"""Referrer: who refers to a connection that was open before whoholds came, in place of an opening line."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any


class Referrer:
    """What refers to an adopted handle. Equal referrers are one object while adoption runs, so that handles group.

    `what` says it in words: `global CONNECTIONS[…]`, `variable conn`, `attribute _conn of a Repo`. `file`, `line` and
    `function` say where, as far as that is known: a global has a file, a local variable all three.
    """

    __slots__ = ("file", "function", "line", "site", "what")

    def __init__(self, what: str, file: str = "", line: int = 0, function: str = "") -> None:
        self.what = what
        self.file = file
        self.line = line  # from 1; 0 where there is none
        self.function = function
        self.site: Any = None  # filled in on the tick

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes two referrers equal."""
        return (self.what, self.file, self.line, self.function)

    def __repr__(self) -> str:
        return f"<{self.what}>"
