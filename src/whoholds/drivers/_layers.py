"""Classes of ours between the program's and those that a library has in C, the same from one watch to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

    from whoholds.ledger.ledger import Ledger


class Layer:
    """The classes over those of one library. A driver derives from it, and makes them in its constructor."""

    latest: ClassVar[Any] = None  # of the derived class: the one that was made last

    def __init__(self, ledger: Ledger, *plain: Any) -> None:
        self.ledger = ledger
        self.plain = plain  # the library's classes

    @classmethod
    def of_process(cls, ledger: Ledger, *plain: Any) -> Self:
        """The one of the watch before, if it will do: its objects are still of the classes that have these names."""
        layer: Self | None = cls.latest
        if layer is None or layer.plain != plain or not layer.ledger.serves(ledger):
            layer = cls.latest = cls(ledger, *plain)
        return layer
