"""Site: a line that opened handles or started owners, known once, with how often."""

from __future__ import annotations

from types import CodeType

from whoholds.analysis.blame import _WATCHED, kind_of, user_index
from whoholds.analysis.frames import Frame, frame_at
from whoholds.ledger.origin import function_at, line_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.ledger.origin import Origin


class Site:
    """A line that opened handles or started owners: where, and how often since the start. One per line.

    Counted by the thread that ticks and by nobody else.
    """

    __slots__ = ("_frame", "borrows", "index", "opened", "origin", "source")

    def __init__(self, origin: Origin, index: int, *, source: bool = True) -> None:
        self.origin = origin
        self.index = index
        self.source = source
        self.opened = 0
        self.borrows = False  # what it opens are loans of a pool
        self._frame: Frame | None = None

    @property
    def frame(self) -> Frame:
        """The line, readable; the source is read once."""
        if self._frame is None:
            self._frame = frame_at(self.origin, self.index, source=self.source)
        return self._frame

    @property
    def tells(self) -> bool:
        """Whether it is a line of the program or a library's; one of the standard library's tells nobody anything."""
        return kind_of(self.origin[self.index].co_filename) != _WATCHED  # type: ignore[union-attr]  # a code object

    def __repr__(self) -> str:
        return f"<{self.frame.place} in {self.frame.function}>"


_MANY = 10_000  # origins kept for sharing


class Sites:
    """All lines seen, each once, so that handles are grouped by identity and share their origins in memory."""

    def __init__(self, *, source: bool = True) -> None:
        self.source = source  # whether their source lines may be shown
        self._by_offset: dict[tuple[int, int], Site] = {}  # keyed by id: a Site keeps its code object alive
        self._latest: dict[tuple[int, int], tuple[Origin, Site]] = {}  # by the innermost frame, likewise
        self._by_line: dict[tuple[str, int, str], Site] = {}

    @classmethod
    def restored(cls, sites: Iterable[Site], *, source: bool) -> Sites:
        """The same lines as in another process or at another time: known by file, line and function."""
        restored = cls(source=source)
        restored._by_line = {_line_at(site.origin, site.index): site for site in sites}
        return restored

    def shared(self, origin: Origin) -> tuple[Origin, Site]:
        """The same origin as one tuple for all that a loop opens, and its site; for those that come again and again."""
        key = (id(origin[0]), origin[1])
        latest = self._latest.get(key)  # type: ignore[arg-type]  # offsets at odd places
        if latest is None or latest[0] != origin:
            if len(self._latest) >= _MANY:
                self._latest.clear()
            latest = self._latest[key] = (origin, self.of(origin))  # type: ignore[index]
        return latest

    def of(self, origin: Origin) -> Site:
        """The one `Site` of the line to name in `origin`, which must not be empty."""
        return self.at(origin, user_index(origin))

    def at(self, origin: Origin, index: int) -> Site:
        """The one `Site` of the frame at `index` of `origin`."""
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
        """In a forked child: what the parent's lines opened is not counted as this process's."""
        for site in self._by_line.values():
            site.opened = 0


def _line_at(origin: Origin, index: int) -> tuple[str, int, str]:
    """File, line and function of the frame at an even `index`."""
    code, offset = origin[index], origin[index + 1]
    return code.co_filename, line_at(code, offset), function_at(origin, index)  # type: ignore[union-attr,arg-type]
