"""Whose code a file is: the user's, a library's, or a watched library's, which is never to blame."""

from __future__ import annotations

import os
import sys

from whoholds.ledger import origin as _origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from whoholds.ledger.origin import Origin


_LIBRARY = 1  # the standard library, site-packages, the interpreter's own scripts
_WATCHED = 2  # the libraries that drivers watch, the standard library and whoholds: never to blame
_MACHINERY = frozenset(("whoholds", "wrapt", "asgiref"))
_kinds: dict[str, int] = {}  # file name → 0 (the user's) or one of the above; one C call per change
_watched_packages: set[str] = {"whoholds", "wrapt", "concurrent", "asyncio", "threading", "multiprocessing"}
_layers: dict[str, tuple[str, ...]] = {}  # package → its folders that work with the database, where not all do
_watched_places: list[str] = []  # their folders and files, for those that lie beside the application


def never_blame(package: str, layers: tuple[str, ...] = ()) -> None:
    """Frames of this top-level package are a watched library's: they are never an opening line.

    Where only some of its folders work with the database, `layers` names these: `django/db/`. The rest of it is a
    library like any other, and named where no frame of the program's own is on the stack.
    """
    if package not in _watched_packages:
        _watched_packages.add(package)
        if layers:
            _layers[package] = layers
        file = getattr(sys.modules.get(package), "__file__", None)
        if file:
            folder, name = os.path.split(file)
            above = os.path.dirname(folder)
            places = [os.path.join(above, *layer.split("/")) for layer in layers] or [folder + os.sep]
            _watched_places.extend(places if name.startswith("__init__.") else [file])
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


def is_users(file: str) -> bool:
    """Whether the file is the user's own code."""
    return kind_of(file) == 0


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
            below = path[at + len(marker) :]
            package = below.split("/", 1)[0].removesuffix(".py")
            return _WATCHED if package in _watched_packages and below.startswith(_layers.get(package, "")) else _LIBRARY
    if any(file.startswith(folder + os.sep) for folder in (*_STDLIB, *_OURS)):
        return _WATCHED
    return 0


_origin.kind_of = kind_of


def user_index(origin: Origin) -> int:
    """Index into `origin` of the frame to name: the user's innermost, else a library's, else the outermost called."""
    library = -1
    for index in range(0, len(origin), 2):
        kind = kind_of(origin[index].co_filename)  # type: ignore[union-attr]  # even places hold code objects
        if not kind and not _is_generated(origin, index):
            return index
        if kind == _LIBRARY and library < 0:
            library = index
    return library if library >= 0 else _entered(origin)


def _entered(origin: Origin) -> int:
    """Index of the outermost frame that is not machinery: the watched library's function that a thread was given.

    `await queryset.acount()` and `to_thread(session.execute, …)` have no frame of the program in their thread; the
    call that it asked for says more than the driver's innermost function, which is the same for every connection.
    """
    for index in range(len(origin) - 2, -1, -2):
        if not _is_machinery(origin[index].co_filename):  # type: ignore[union-attr]  # even places hold code objects
            return index
    return 0


def _is_machinery(file: str) -> bool:
    """Whether the file only carries calls into threads and tasks: the standard library, whoholds, asgiref."""
    path = file.replace("\\", "/")
    for marker in ("/site-packages/", "/dist-packages/"):
        _, found, below = path.rpartition(marker)
        if found:
            return below.split("/", 1)[0].removesuffix(".py") in _MACHINERY
    return file.startswith(("<", *(folder + os.sep for folder in (*_STDLIB, *_OURS))))


def _is_generated(origin: Origin, index: int) -> bool:
    """Whether a library compiled this frame from a string: a wrapper that bears the name of what it calls."""
    code = origin[index]
    if code.co_filename != "<string>" or index < 2 or not kind_of(origin[index - 2].co_filename):  # type: ignore[union-attr]  # noqa: PLR2004
        return False
    return code.co_name in [one.co_name for one in origin[max(index - 4, 0) : index : 2]]  # type: ignore[union-attr]
