"""Chain: the program's own frames that led to an opening. A helper that is called from two places has two chains.

Only the ticking thread creates chains. They keep code objects and offsets, never frames.
"""

from __future__ import annotations

import os

from whoholds.analysis.blame import _LIBRARY, kind_at
from whoholds.ledger.origin import line_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from whoholds.ledger.origin import Origin

_MANY = 10_000  # entries of each cache; a full cache is cleared, and the lines are computed again
_MODULE = "<module>"


class Chain:
    """One chain of lines. Every opening through the same lines has the same Chain object."""

    __slots__ = ("at_top_level", "by_pool", "held")

    def __init__(self, *, at_top_level: bool, by_pool: bool) -> None:
        self.by_pool = by_pool  # the pool of a library opened the handle, and no driver knows that pool
        self.at_top_level = at_top_level  # a module or a notebook cell opened the handle, even if in a task
        self.held: dict[object, int] = {}  # keeper of handles → number of databases to which it has handles


class Chains:
    """All chains seen so far, each once."""

    def __init__(self) -> None:
        self._by_origin: dict[int, tuple[Origin, Chain]] = {}  # by id: `Sites.shared` has one tuple for equal origins
        self._by_offsets: dict[tuple[int, ...], tuple[Origin, Chain]] = {}  # each origin keeps the code objects alive
        self._by_lines: dict[tuple[tuple[str, int, str], ...], Chain] = {}

    def of(self, origin: Origin) -> Chain:
        """The chain of `origin`, which must not be empty."""
        known = self._by_origin.get(id(origin))
        if known is None:
            if len(self._by_origin) >= _MANY:
                self._by_origin.clear()
            known = self._by_origin[id(origin)] = (origin, self._found(origin))
        return known[1]

    def _found(self, origin: Origin) -> Chain:
        places = own_frames(origin)
        key = tuple(number for place in places for number in (id(origin[place]), origin[place + 1]))
        known = self._by_offsets.get(key)  # type: ignore[arg-type]
        if known is not None:
            return known[1]
        if len(self._by_offsets) >= _MANY:
            self._by_offsets.clear()
        lines = tuple(_line(origin, place) for place in places)
        chain = self._by_lines.get(lines)
        if chain is None:
            chain = self._by_lines[lines] = Chain(
                at_top_level=_runs_at_top_level(origin), by_pool=_is_by_pool(origin, places)
            )
        self._by_offsets[key] = (origin, chain)  # type: ignore[index]
        return chain


def own_frames(origin: Origin) -> list[int]:
    """The indices in `origin` of the program's own frames and of the library frames inside the innermost of them.

    If the whole application is an installed package, these are all frames but those of watched libraries; if there is
    no such frame either, the innermost frame.
    """
    places: list[int] = []
    inner = True
    for place in range(0, len(origin), 2):
        kind = kind_at(origin, place)
        if not kind:
            inner = False
            places.append(place)
        elif inner and kind == _LIBRARY:
            places.append(place)
    return places or [0]


def _line(origin: Origin, place: int) -> tuple[str, int, str]:
    code: CodeType = origin[place]  # type: ignore[assignment]  # a code object at even places
    return (code.co_filename, line_at(code, origin[place + 1]), code.co_name)  # type: ignore[arg-type]


def _is_by_pool(origin: Origin, places: list[int]) -> bool:
    """True if the innermost of the frames at `places` is in a file of a library whose name contains "pool"."""
    file: str = origin[places[0]].co_filename  # type: ignore[union-attr]  # even places hold code objects
    return kind_at(origin, places[0]) == _LIBRARY and "pool" in os.path.split(file)[1].lower()


def _runs_at_top_level(origin: Origin) -> bool:
    """True if a module or a notebook cell is running; frames outside the event loop's do not count."""
    for place in range(0, len(origin), 2):
        code: CodeType = origin[place]  # type: ignore[assignment]
        if code.co_name == _MODULE:
            return True
        if "asyncio" in code.co_filename.replace("\\", "/").split("/")[-2:-1]:
            return False
    return False
