"""Classifies source files: the user's own code, a library, or a watched library, which a finding must never blame.

The user's thread calls this code too, for the note on a refusal, so it must not lock or read a file.
"""

from __future__ import annotations

import os
import sys

from whoholds.ledger import origin as _origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from whoholds.ledger.origin import Origin


_LIBRARY = _origin.LIBRARY  # the standard library, site-packages, the interpreter's own scripts
WATCHED = _origin.WATCHED  # libraries that drivers watch, the standard library and whoholds: never to blame
_MACHINERY = frozenset(("whoholds", "wrapt", "asgiref", "anyio"))  # packages that only carry calls into threads, tasks
_STARTING_CHILDREN = (("multiprocessing/spawn.py", "spawn_main"), ("multiprocessing/forkserver.py", "main"))
_kinds = _origin.kinds  # file name → 0 (the user's code), _LIBRARY or WATCHED; one C call per change
_paths: dict[str, str] = {}  # file name → what `library_path` gives, in the same way
_watched_packages: set[str] = {*_MACHINERY, "concurrent", "asyncio", "threading", "multiprocessing"}
_layers: dict[str, tuple[str, ...]] = {}  # package → those of its folders that work with the database, if not all do
_watched_places: list[str] = []  # folders and files of watched packages, which may lie beside the application


def never_blame(package: str, layers: tuple[str, ...] = ()) -> None:
    """Never name a frame of this top-level package as an opening line.

    If only some folders of the package work with the database, `layers` names them, as `django/db/`. The rest of the
    package then counts as a library, whose frames are named if no frame of the program itself is on the stack.
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
        _paths.clear()


def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    stdlib = os.path.dirname(os.__file__)
    scripts = {os.path.join(p, d) for p in (sys.prefix, sys.base_prefix) for d in ("bin", "Scripts")}
    stdlib_zip = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the folder of the package whoholds
    return (stdlib, os.path.join(os.path.dirname(stdlib), stdlib_zip)), (own, *sorted(scripts))


_STDLIB, _OURS = _folders()


def is_below(file: str, *places: str, path: Any = os.path) -> bool:
    """True if the name of `file` begins with one of these folders or files, as `path` compares names.

    On Windows capitals and the two kinds of slashes make no difference.
    """
    return bool(path.normcase(file).startswith(tuple([path.normcase(place) for place in places])))


def kind_of(file: str) -> int:
    """0 for the user's own code, `_LIBRARY` for a library, `WATCHED` for code that is never to blame.

    Only the file name decides, never a count of frames. Code that was compiled from a string or typed at a prompt
    counts as the user's.
    """
    found = _kinds.get(file)
    if found is None:
        found = _kinds[file] = _classify(file)
    return found


def is_users(file: str) -> bool:
    """True if `file` is the user's own code."""
    return kind_of(file) == 0


def _classify(file: str) -> int:
    if file.startswith("<frozen"):
        return WATCHED
    if file.startswith("<"):  # "<attrs generated init …>", "<sqlalchemy generated …>"
        package, _, generated = file[1:].partition(" generated ")
        return (WATCHED if package in _watched_packages else _LIBRARY) if generated else 0
    if is_below(file, *_watched_places):
        return WATCHED
    below = _installed(file)
    if below:
        package = below.split("/", 1)[0].removesuffix(".py")
        watched = package in _watched_packages and below.startswith(_layers.get(package, ""))
        return WATCHED if watched or (below == file and package in sys.stdlib_module_names) else _LIBRARY
    if is_below(file, *[folder + os.sep for folder in (*_STDLIB, *_OURS)]):
        return WATCHED
    return 0


_origin.kind_of = kind_of


def _installed(file: str) -> str:
    """The part of the path below the folder of installed packages, with `/`; "" for a file that is not installed."""
    path = file.replace("\\", "/")
    for marker in ("/site-packages/", "/dist-packages/"):
        _, found, below = path.rpartition(marker)
        if found:
            return below
    if getattr(sys, "frozen", False) and not os.path.isabs(file):  # bundled by PyInstaller: a path from its package
        package = path.split("/", 1)[0].removesuffix(".py")
        return path if package in _watched_packages or package in sys.stdlib_module_names else ""
    return ""


def library_path(file: str) -> str:
    """The path of a library's file from its package, as `uvicorn/protocols/http/h11_impl.py`; "" for other files.

    A file of the standard library is `asyncio/runners.py`, and a script beside the interpreter is `bin/gunicorn`.
    """
    found = _paths.get(file)
    if found is None:
        found = _paths[file] = _library_path(file)
    return found


def _library_path(file: str) -> str:
    below = _installed(file)
    if below:
        return below
    for folder in (*_STDLIB, *_OURS):
        if is_below(file, folder + os.sep):
            start = os.path.dirname(folder) if folder in _OURS else folder
            return file[len(start) + 1 :].replace("\\", "/")
    return ""


def kind_at(origin: Origin, index: int) -> int:
    """`kind_of` the frame at an even `index`; of a wrapper that a library compiled, that of the function it calls."""
    place = index - 2 if _is_generated(origin, index) else index
    return kind_of(origin[place].co_filename)  # type: ignore[union-attr]  # even places hold code objects


def user_index(origin: Origin) -> int:
    """The index in `origin` of the frame to name.

    That is the innermost frame of the user's code, else the innermost frame of a library, else the frame that
    `_entered` returns.
    """
    library = -1
    for index in range(0, len(origin), 2):
        kind = kind_at(origin, index)
        if not kind:
            return index
        if kind == _LIBRARY and library < 0:
            library = index
    return library if library >= 0 else _entered(origin)


def _entered(origin: Origin) -> int:
    """The index of the outermost frame that is not machinery: the watched library's function that a thread runs.

    With `await queryset.acount()` and `to_thread(session.execute, …)`, the thread has no frame of the program. The
    outermost call says more than the driver's innermost function, which is the same for every connection. Where all
    are machinery, the innermost that is not of whoholds is named.
    """
    for index in range(len(origin) - 2, -1, -2):
        if not _is_machinery(origin[index].co_filename):  # type: ignore[union-attr]  # even places hold code objects
            return index
    return next((index for index in range(0, len(origin), 2) if not is_ours(origin[index].co_filename)), 0)  # type: ignore[union-attr]


def is_ours(file: str) -> bool:
    """True if `file` is one of whoholds's own, which is never a line to name."""
    return is_below(file, _OURS[0] + os.sep) or _installed(file).startswith("whoholds/")


def _is_machinery(file: str) -> bool:
    """True if the file only carries calls into threads and tasks: the standard library, whoholds, asgiref, anyio."""
    below = _installed(file)
    if below:
        return below.split("/", 1)[0].removesuffix(".py") in _MACHINERY
    return file.startswith("<") or is_below(file, *[folder + os.sep for folder in (*_STDLIB, *_OURS)])


def is_childs_command(origin: Origin, index: int) -> bool:
    """True for the frame of `python -c "from multiprocessing.spawn import spawn_main; …"`, which starts a child."""
    code, inner = origin[index], origin[max(index - 2, 0)]
    if code.co_filename != "<string>":  # type: ignore[union-attr]  # even places hold code objects
        return False
    return (library_path(inner.co_filename), inner.co_name) in _STARTING_CHILDREN  # type: ignore[union-attr]


def _is_generated(origin: Origin, index: int) -> bool:
    """True if a library compiled this frame from a string: a wrapper with the name of the function that it calls."""
    code = origin[index]
    if is_childs_command(origin, index):
        return True
    if code.co_filename != "<string>" or index < 2 or not kind_of(origin[index - 2].co_filename):  # type: ignore[union-attr]  # noqa: PLR2004
        return False
    return code.co_name in [one.co_name for one in origin[max(index - 4, 0) : index : 2]]  # type: ignore[union-attr]
