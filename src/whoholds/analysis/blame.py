"""Classifies source files: the user's own code, a library, or a watched library, which a finding must never blame.

The user's thread calls this code too, for the note on a refusal, so it must not lock or read a file. The module is long
because a file's name, a frame and an origin are asked one question, and must not answer differently.
"""

from __future__ import annotations

import os
import sys
from types import CodeType

from whoholds.analysis.compiled import is_of_dataclass, is_programs, kind_by_name, told_by
from whoholds.ledger import origin as _origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from whoholds.ledger.origin import Origin


_LIBRARY = _origin.LIBRARY  # the standard library, site-packages, the interpreter's own scripts
WATCHED = _origin.WATCHED  # libraries that drivers watch, the standard library and whoholds: never to blame
_MACHINERY = frozenset(("whoholds", "wrapt", "asgiref", "anyio", "gevent"))  # they only carry calls into threads, tasks
_STARTING_CHILDREN = (("multiprocessing/spawn.py", "spawn_main"), ("multiprocessing/forkserver.py", "main"))
_COMPILED = _origin.COMPILED  # code from a string whose name does not tell whose it is
_GENERATED = ("<string>", "<unknown>")  # names that libraries give to their wrappers
_ARGUMENTS = 8  # of a command line, among which the script's name is looked for: there may be thousands
_OUTER = 32  # frames around one that are read for whose it is
_kinds = _origin.kinds  # file name → 0 (the user's code), _LIBRARY, WATCHED or _COMPILED; one C call per change
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
            folder, name = os.path.split(_plain(file))
            above = os.path.dirname(folder)
            places = [os.path.join(above, *layer.split("/")) for layer in layers] or [folder + os.sep]
            _watched_places.extend(places if name.startswith("__init__.") else [os.path.join(folder, name)])
        _kinds.clear()
        _paths.clear()


def _plain(file: str) -> str:
    """The name of a file without `.` and `..`: a script that was started as `./venv/bin/celery` has them in its name.

    Only names are compared, because of the user's thread: no link is followed.
    """
    return os.path.normpath(file) if f"{os.sep}." in file else file


def _linked(scripts: set[str]) -> set[str]:
    """The folder of the script that this process runs, if it is one of `scripts` by another name.

    A release that is started as `/srv/shop/current/venv/bin/celery` has its interpreter, which the script names, in
    the folder to which `current` leads. `sys.argv` is not there yet where whoholds starts with the interpreter.
    """
    try:
        folders = {os.path.dirname(os.path.abspath(name)) for name in sys.orig_argv[1:_ARGUMENTS] if os.sep in name}
    except OSError:  # the working directory is gone
        return set()
    known = set(map(os.path.realpath, scripts))
    return {folder for folder in folders if os.path.realpath(folder) in known}


def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    stdlib = _plain(os.path.dirname(os.__file__))
    scripts = {os.path.join(_plain(p), d) for p in (sys.prefix, sys.base_prefix) for d in ("bin", "Scripts")}
    scripts |= _linked(scripts)
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
    counts as the user's: where its frame or its origin is known, `kind_at` and `code_of` tell more.
    """
    found = _by_file(file)
    return found if found != _COMPILED else 0


def _by_file(file: str) -> int:
    found = _kinds.get(file)
    if found is None:
        found = _kinds[file] = _classify(file)
    return found


def is_users(file: str) -> bool:
    """True if `file` is the user's own code."""
    return kind_of(file) == 0


def _classify(file: str) -> int:
    if file.startswith("<"):  # "<attrs generated init …>", "<sqlalchemy.orm.session generated commit>"
        library, _, generated = file[1:].partition(" generated ")
        return _of_package(library.replace(".", "/")) if generated else kind_by_name(file)
    file = _plain(file)
    if is_below(file, *_watched_places):
        return WATCHED
    below = _installed(file)
    if below:
        return _of_package(below, bundled=below == file)
    if is_below(file, *[folder + os.sep for folder in (*_STDLIB, *_OURS)]):
        return WATCHED
    return 0


def _of_package(below: str, *, bundled: bool = True) -> int:
    """The kind of a file of a package, by its path from that, or its module; `bundled` may be the standard library."""
    package = below.split("/", 1)[0].removesuffix(".py")
    watched = package in _watched_packages and f"{below}/".startswith(_layers.get(package, ""))
    return WATCHED if watched or (bundled and package in sys.stdlib_module_names) else _LIBRARY


_origin.kind_of = _by_file


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
    file = _plain(file)
    below = _installed(file)
    if below:
        return below
    for folder in (*_STDLIB, *_OURS):
        if is_below(file, folder + os.sep):
            start = os.path.dirname(folder) if folder in _OURS else folder
            return file[len(start) + 1 :].replace("\\", "/")
    return ""


def kind_at(origin: Origin, index: int) -> int:
    """`kind_of` the frame at an even `index`; of code that a library compiled, that of the function it calls."""
    kind = _by_file(origin[index].co_filename)  # type: ignore[union-attr]  # even places hold code objects
    return kind if kind != _COMPILED else _kind_of_compiled(origin, index)


_origin.kind_at = kind_at


def code_of(frame: FrameType) -> CodeType:
    """The code of a frame; of one that a library compiled, a copy that `kind_of` knows by the name of its file."""
    code = frame.f_code
    return (told_by(frame) or code) if _by_file(code.co_filename) == _COMPILED else code


def _compiled_by(frame: FrameType, inner: Origin) -> tuple[CodeType, int]:
    """The same of a frame whose file is _COMPILED, and its kind; `inner` are the frames inside it.

    Called in the user's thread.
    """
    code = code_of(frame)
    if code is not frame.f_code:
        return code, kind_of(code.co_filename)
    return code, kind_at((*inner[-4:], *_origin.capture(frame, _OUTER)), len(inner[-4:]))


_origin.compiled_by = _compiled_by


def file_at(origin: Origin, index: int) -> str:
    """The name of the file of a frame; `<sqlalchemy generated commit>` of one that a library compiled."""
    code: CodeType = origin[index]  # type: ignore[assignment]  # even places hold code objects
    file = code.co_filename
    if _by_file(file) != _COMPILED or is_childs_command(origin, index) or not kind_at(origin, index):
        return file
    inner = [one.co_filename for one in origin[:index:2] if not is_ours(one.co_filename)]  # type: ignore[union-attr]
    libraries = [package for package in map(_package, reversed(inner)) if package]
    library = "dataclasses" if is_of_dataclass(code) else next(iter(libraries), "")
    return f"<{library} generated {code.co_name}>" if library else file


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
    """True if the file only carries calls into threads and tasks: the standard library and `_MACHINERY`."""
    file = _plain(file)
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


def _kind_of_compiled(origin: Origin, index: int) -> int:
    """The kind of a frame of _COMPILED code by its neighbours.

    A library compiled it if it has the name of the function that it calls, as a wrapper has, or stands between frames
    of one library. Text that the program runs, as with `python -c`, stands around its functions as a module.
    """
    code: CodeType = origin[index]  # type: ignore[assignment]  # even places hold code objects
    if is_of_dataclass(code):
        return WATCHED
    inner = next((place for place in range(index - 2, -1, -2) if _by_file(_file(origin, place)) != _COMPILED), -1)
    kind = _by_file(_file(origin, inner)) if inner >= 0 else 0
    if not kind:
        return 0
    if is_childs_command(origin, index):
        return kind
    called = [one.co_name for one in origin[max(index - 4, 0) : index : 2]]  # type: ignore[union-attr]  # likewise
    if code.co_filename in _GENERATED and code.co_name in called:
        return kind
    outer = [one for one in origin[index::2] if isinstance(one, CodeType)]
    if is_programs(code) or any(one.co_name == "<module>" and one.co_filename == code.co_filename for one in outer):
        return 0
    around = next((one.co_filename for one in outer if _by_file(one.co_filename) != _COMPILED), "")
    library = _package(_file(origin, inner))
    return kind if library and library not in _MACHINERY and library == _package(around) else 0


def _package(file: str) -> str:
    """The package of an installed file, or of code that it compiled; "" for any other file."""
    if file.startswith("<"):
        library, _, generated = file[1:].partition(" generated ")
        return library.partition(".")[0] if generated else ""
    return _installed(file).split("/", 1)[0].removesuffix(".py")


def _file(origin: Origin, index: int) -> str:
    return origin[index].co_filename  # type: ignore[union-attr]  # even places hold code objects
