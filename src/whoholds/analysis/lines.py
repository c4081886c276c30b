"""Origins made readable: which frame to name, its file, line, function and source.

Called when something is shown or on the tick, never in the user's thread.
"""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType
from typing import NamedTuple

from whoholds.ledger.origin import line_at
from whoholds.text.redact import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.origin import Origin


class Frame(NamedTuple):
    """One readable frame: file as the code object has it, line (from 1), function, source line or ""."""

    file: str
    line: int
    function: str
    source: str

    @property
    def place(self) -> str:
        """`shop/cars.py:42`, as `shown_path` shows the file."""
        return f"{shown_path(self.file)}:{self.line}"


_LIBRARY = 1  # the standard library, site-packages, the interpreter's own scripts
_WATCHED = 2  # the libraries that drivers watch, the standard library and whoholds: never to blame
_kinds: dict[str, int] = {}  # file name → 0 (the user's) or one of the above; one C call per change
_watched_packages: set[str] = {"whoholds", "wrapt", "concurrent", "asyncio", "threading", "multiprocessing"}
_watched_places: list[str] = []  # their folders and files, for those that lie beside the application


def never_blame(package: str) -> None:
    """Frames of this top-level package are a watched library's: they are never an opening line."""
    if package not in _watched_packages:
        _watched_packages.add(package)
        file = getattr(sys.modules.get(package), "__file__", None)
        if file:
            folder, name = os.path.split(file)
            _watched_places.append(folder + os.sep if name.startswith("__init__.") else file)
        _kinds.clear()


def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    stdlib = os.path.dirname(os.__file__)
    scripts = {os.path.join(p, d) for p in (sys.prefix, sys.base_prefix) for d in ("bin", "Scripts")}
    stdlib_zip = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the package's folder
    return (stdlib, os.path.join(os.path.dirname(stdlib), stdlib_zip)), (own, *sorted(scripts))


_STDLIB, _OURS = _folders()


def kind_of(file: str) -> int:
    """0 for the user's own code, `_LIBRARY` for a library's, `_WATCHED` for code that is never to blame.

    Told by file, never by a count of frames. What is compiled from a string or typed at a prompt is the user's.
    """
    found = _kinds.get(file)
    if found is None:
        found = _kinds[file] = _classify(file)
    return found


def _classify(file: str) -> int:
    if file.startswith("<frozen"):
        return _WATCHED
    if file.startswith("<"):  # "<attrs generated init …>", "<sqlalchemy generated …>"
        package, _, generated = file[1:].partition(" generated ")
        return (_WATCHED if package in _watched_packages else _LIBRARY) if generated else 0
    if file.startswith(tuple(_watched_places)):
        return _WATCHED
    path = file.replace("\\", "/")
    for marker in ("/site-packages/", "/dist-packages/"):
        at = path.rfind(marker)
        if at >= 0:
            package = path[at + len(marker) :].split("/", 1)[0].removesuffix(".py")
            return _WATCHED if package in _watched_packages else _LIBRARY
    if any(file.startswith(folder + os.sep) for folder in (*_STDLIB, *_OURS)):
        return _WATCHED
    return 0


def user_index(origin: Origin) -> int:
    """Index into `origin` of the frame to name: the user's innermost, else a library's, else the innermost."""
    library = -1
    for index in range(0, len(origin), 2):
        kind = kind_of(origin[index].co_filename)  # type: ignore[union-attr]  # even places hold code objects
        if not kind and not _is_generated(origin, index):
            return index
        if kind == _LIBRARY and library < 0:
            library = index
    return max(library, 0)


def _is_generated(origin: Origin, index: int) -> bool:
    """Whether a library compiled this frame from a string: a wrapper that bears the name of what it calls."""
    code = origin[index]
    if code.co_filename != "<string>" or index < 2 or not kind_of(origin[index - 2].co_filename):  # type: ignore[union-attr]  # noqa: PLR2004
        return False
    return code.co_name in [one.co_name for one in origin[max(index - 4, 0) : index : 2]]  # type: ignore[union-attr]


def frame_at(origin: Origin, index: int, *, source: bool = True) -> Frame:
    """The frame at an even `index`, readable; the source line is read from disk unless `source` is false."""
    code, offset = origin[index], origin[index + 1]
    assert isinstance(code, CodeType)  # noqa: S101 - the tuple's layout, told to the type checker
    assert isinstance(offset, int)  # noqa: S101
    line = line_at(code, offset)
    text = redact(linecache.getline(code.co_filename, line).strip()) if source else ""
    return Frame(code.co_filename, line, code.co_name, text)


def frames(origin: Origin, *, source: bool = True) -> list[Frame]:
    """Every frame, innermost first, without our own at the inner end."""
    start = 0
    while start < len(origin) and origin[start].co_filename.startswith(_OURS[0] + os.sep):  # type: ignore[union-attr]
        start += 2
    return [frame_at(origin, index, source=source) for index in range(start, len(origin), 2)]


_home: list[str] = []  # the folder below which paths are shown short; none: the working directory


def shown_below(folder: str | None) -> None:
    """Show paths relative to `folder` from now on, wherever the program goes; None: to its working directory."""
    _home[:] = [folder] if folder else []


def shown_below_here() -> None:
    """Show paths relative to what is now the working directory, unless a folder was named."""
    if not _home:
        try:
            shown_below(os.getcwd())
        except OSError:  # it is gone
            pass


def shown_path(file: str) -> str:
    """`file` relative to the folder below which paths are shown where it lies below it, else as it is."""
    try:
        home = _home[0] if _home else os.getcwd()
        relative = os.path.relpath(file, home)
    except (ValueError, OSError):  # another drive; a working directory that is gone
        return file
    below = os.path.isabs(file) and not relative.startswith("..") and os.path.dirname(home) != home
    return relative if below else file


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
        index = user_index(origin)
        code, offset = origin[index], origin[index + 1]
        assert isinstance(code, CodeType)  # noqa: S101 - the tuple's layout, told to the type checker
        assert isinstance(offset, int)  # noqa: S101
        site = self._by_offset.get((id(code), offset))
        if site is None:
            line = (code.co_filename, line_at(code, offset), code.co_name)
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
