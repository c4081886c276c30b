"""Site: one line that opened handles or started owners, and how many handles it has opened.

Only the ticking thread creates and counts sites.
"""

from __future__ import annotations

from types import CodeType

from whoholds.analysis.blame import WATCHED, kind_of, user_index
from whoholds.analysis.frames import Frame, frame_at, referred_from
from whoholds.ledger.origin import function_at, line_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from whoholds.ledger.origin import Origin
    from whoholds.ledger.referrer import Referrer

    # an origin, the site of the line to name, that line's index in it, and the index of the line's caller
    _Known: TypeAlias = tuple[Origin, "Site", int, int]


class Site:
    """A line that opened handles or started owners, and how many handles it has opened since the start.

    There is one `Site` per line. Only the ticking thread counts its openings.
    """

    __slots__ = ("_frame", "borrows", "index", "longest_s", "opened", "origin", "source")

    def __init__(self, origin: Origin, index: int, *, source: bool = True) -> None:
        self.origin = origin
        self.index = index
        self.source = source
        self.opened = 0
        self.longest_s = 0.0  # the longest time that a loan of this line was out before it was given back
        self.borrows = False  # the handles that this line opens are loans of a pool
        self._frame: Frame | None = None

    @property
    def file(self) -> str:
        """The name of the line's file, as its code object has it."""
        return self.origin[self.index].co_filename  # type: ignore[union-attr]  # a code object

    @property
    def frame(self) -> Frame:
        """The line as a readable `Frame`. Its source is read from disk at the first access only."""
        if self._frame is None:
            self._frame = frame_at(self.origin, self.index, source=self.source)
        return self._frame

    @property
    def text(self) -> str:
        """`shop/cars.py:42 in load_cars`; "" if the line is not known."""
        return f"{self.frame.place} in {self.frame.function}" if self.origin else ""

    @property
    def tells(self) -> bool:
        """True for a line of the program or of a library; False where it would not help a reader.

        Lines of the standard library, of watched libraries and of whoholds do not help.
        """
        return kind_of(self.file) != WATCHED

    def __repr__(self) -> str:
        return f"<{self.frame.place} in {self.frame.function}>"


class HeldAt(Site):
    """What refers to connections that were open before the watch. It stands for the opening line, which nobody knows.

    Its origin is empty. Its `frame` is where the reference is: `line` is 0, and `file` may be "", if that is not known.
    """

    __slots__ = ("what",)

    def __init__(self, referrer: Referrer, *, source: bool = True) -> None:
        super().__init__((), 0, source=source)
        self.what = referrer.what
        self._frame = referred_from(referrer.file, referrer.line, referrer.function, source=source)

    @property
    def text(self) -> str:
        """`shop/cars.py:51 in load_cars (variable conn)`, `shop/app.py (global CARS[…])`, `attribute c of an X`."""
        frame = self.frame
        if not frame.file:
            return self.what
        if not frame.line:
            return f"{frame.place.rpartition(':')[0]} ({self.what})"
        return f"{frame.place} in {frame.function} ({self.what})"

    @property
    def tells(self) -> bool:
        """True: it tells where to look."""
        return True

    def __repr__(self) -> str:
        return f"<{self.text}>"


_TOLD = 4
_MANY = 10_000  # origins that are kept so that equal ones share one tuple


class Sites:
    """All lines seen so far, with one `Site` each.

    So handles can be grouped by the identity of their site, and handles with equal origins share one tuple in memory.
    """

    def __init__(self, *, source: bool = True) -> None:
        self.source = source  # whether the source of the lines may be shown
        self._by_offset: dict[tuple[int, int], Site] = {}  # by id of the code object, which its Site keeps alive
        self._latest: dict[tuple[int, int], _Known] = {}  # by the innermost frame, in the same way
        self._by_hash: dict[int, _Known] = {}  # by `_hash`
        self._by_line: dict[tuple[str, int, str], Site] = {}
        self._referrers: dict[tuple[str, str, int, str], HeldAt] = {}

    @classmethod
    def restored(cls, sites: Iterable[Site], *, source: bool) -> Sites:
        """A `Sites` with lines of another process or an earlier run, known by their file, line and function."""
        restored = cls(source=source)
        restored._by_line = {_line_at(site.origin, site.index): site for site in sites}
        return restored

    def shared(self, origin: Origin) -> _Known:
        """The one tuple that stands for all origins equal to `origin`, and the site of the line to name.

        With them come the indices of that line and of its caller, by which `_stands_for` compares. A loop's handles
        have equal origins; they share this tuple. At most `_MANY` origins are kept.
        """
        innermost = (id(origin[0]), origin[1])
        latest = self._latest.get(innermost)  # type: ignore[arg-type]  # offsets at odd places
        if latest is None or not _stands_for(latest, origin):
            if len(self._latest) >= _MANY:
                self._latest.clear()
            latest = self._latest[innermost] = self._equal(origin)  # type: ignore[index]
        return latest

    def _equal(self, origin: Origin) -> _Known:
        """The same where another stack has passed through the innermost frame since."""
        key = _hash(origin)
        known = self._by_hash.get(key)
        if known is None or not _stands_for(known, origin):
            if len(self._by_hash) >= _MANY:
                self._by_hash.clear()
            index = user_index(origin)
            caller = index + 2 if index + 2 < len(origin) else index
            known = self._by_hash[key] = (origin, self.at(origin, index), index, caller)
        return known

    def of(self, origin: Origin) -> Site:
        """The `Site` of the line to name in `origin` (see `user_index`). `origin` must not be empty."""
        return self.at(origin, user_index(origin))

    def referred(self, referrer: Referrer) -> HeldAt:
        """The `HeldAt` that stands for an opening line where `referrer` is all that is known."""
        if referrer.key not in self._referrers:
            self._referrers[referrer.key] = HeldAt(referrer, source=self.source)
        return self._referrers[referrer.key]

    def at(self, origin: Origin, index: int) -> Site:
        """The `Site` of the frame at an even `index` of `origin`."""
        code, offset = origin[index], origin[index + 1]
        assert isinstance(code, CodeType)  # noqa: S101 - the tuple's layout, told to the type checker
        assert isinstance(offset, int)  # noqa: S101
        site = self._by_offset.get((id(code), offset))
        if site is None:
            line = _line_at(origin, index)
            site = self._by_line.setdefault(line, Site(origin, index, source=self.source))
            if site.origin[site.index] is code:
                self._by_offset[id(code), offset] = site
        return site

    def __iter__(self) -> Iterator[Site]:
        return iter(list(self._by_line.values()))

    def start_again(self) -> None:
        """Set every count to 0: in a forked child, the openings of the parent are not counted as this process's."""
        for site in self._by_line.values():
            site.opened = 0


def _stands_for(known: _Known, origin: Origin) -> bool:
    """Whether the known origin is the same stack as `origin`.

    Code objects of two files with the same text are equal, and yet two places. To compare every frame by identity
    would take a quarter of a look's time: those of the line to name and of its caller are compared.
    """
    before, _, index, caller = known
    return before is origin or (
        before == origin and before[index] is origin[index] and before[caller] is origin[caller]
    )


def _hash(origin: Origin) -> int:
    """A hash of an origin: by the ids of code objects, as their own hash reads their constants and bytecode.

    The inner `_TOLD` frames and the offsets of all tell nearly all stacks apart; `_stands_for` compares the rest.
    """
    return hash((*map(id, origin[: 2 * _TOLD : 2]), *origin[1::2]))


def _line_at(origin: Origin, index: int) -> tuple[str, int, str]:
    """The file, line number and function name of the frame at an even `index` of `origin`."""
    code, offset = origin[index], origin[index + 1]
    return code.co_filename, line_at(code, offset), function_at(origin, index)  # type: ignore[union-attr,arg-type]
