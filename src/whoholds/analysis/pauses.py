"""Pauses within a look: other threads run meanwhile, and need not wait until a look over many handles is over.

A thread that comes back from the network waits until the look lets go of the GIL: without pauses up to CPython's switch
interval of 5 ms, each time. Only the thread that ticks pauses; a look that somebody waits for does not.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Item = TypeVar("Item")

STRETCH_S = 0.0005  # a look works for so many seconds between two pauses, or for `FEW` handles
FEW = 500


class Pauses:
    """The pauses of one look. `pause` lets other threads run for a moment; without it, there are no pauses."""

    def __init__(self, pause: Callable[[], object] | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._since = clock()

    def __call__(self) -> None:
        """Pause if the look has worked for `STRETCH_S` since it began, or since the pause before."""
        if self._pause is not None and self._clock() - self._since >= STRETCH_S:
            self._pause()
            self._since = self._clock()

    def between(self, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
        """The `items` in order, `FEW` at a time, with a pause before each further few if one is due."""
        return (items,) if self._pause is None or len(items) <= FEW else self._few(items)

    def _few(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        for begin in range(0, len(items), FEW):
            self()
            yield items[begin : begin + FEW]


NONE = Pauses()
