"""Tells whose a piece of code is that was compiled from a string: by its name, by its code, and by its globals.

The user's thread calls this code, so it must not lock, read a file or import, and must run no code of the program's:
neither a module's `__getattr__` nor the methods of a subclass of dict.
"""

from __future__ import annotations

import sys
from types import CodeType, ModuleType

from whoholds.ledger import origin as _origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_MANY = 1000
# What a person typed or wrote: prompts, cells, doctests, `timeit`, code sent to another process by execnet.
_WRITTEN = (
    *("<stdin", "<python-input-", "<console>", "<input>", "<pyshell#", "<doctest ", "<timeit-src>", "<remote "),
    *("<ipython-input-", "<cell", "<timed ", "<magic-timeit", "<BackgroundJob "),
)
# What only carries a call to the function that somebody wrote: wrappers of decorator, makefun, boltons and numpy, and
# Jinja's templates without a file, whose line numbers are those of no text.
_CARRYING = (
    *("<frozen", "<decorator-gen-", "<makefun-gen-", "<boltons.", "<__array_function__ internals>"),
    *("<template>", "<lambdifygenerated-"),
)
_told: dict[int, tuple[CodeType, CodeType | None]] = {}  # by id of the code, which it keeps: what `told_by` gives


def kind_by_name(file: str) -> int:
    """What the name of a file that begins with `<` tells, as `kind_of` does; COMPILED if it tells nothing."""
    if file.startswith(_CARRYING):
        return _origin.WATCHED
    return 0 if file.startswith(_WRITTEN) else _origin.COMPILED


def is_of_dataclass(code: CodeType) -> bool:
    """True for a method that `dataclasses` compiled. It has the globals of the module that has the class."""
    if getattr(code, "co_qualname", "").startswith("__create_fn__."):
        return True
    return any("HAS_DEFAULT_FACTORY" in name for name in code.co_freevars)  # 3.10 has no qualified name


def told_by(frame: FrameType) -> CodeType | None:
    """Whose the code of a frame is by its globals; None if they do not tell.

    The program's own code is returned as it is, and a library's as a copy whose file is named
    `<sqlalchemy.orm.session generated commit>`: an origin keeps no globals, and a look must see the library in it.
    Copies are equal to what they were made of.
    """
    code = frame.f_code
    known = _told.get(id(code))
    if known is None:
        if len(_told) >= _MANY:
            _told.clear()
        known = _told[id(code)] = (code, _tell(code, frame.f_globals))
    return known[1]


def is_programs(code: CodeType) -> bool:
    """True if `told_by` has found that this code is the program's own."""
    known = _told.get(id(code))
    return known is not None and known[1] is code


def _tell(code: CodeType, names: dict[str, Any]) -> CodeType | None:
    if is_of_dataclass(code):
        return _generated(code, "dataclasses")
    name = dict.get(names, "__name__")
    module = sys.modules.get(name) if type(name) is str else None
    if not issubclass(type(module), ModuleType):
        return None
    of_module: dict[str, Any] = object.__getattribute__(module, "__dict__")
    file = dict.get(of_module, "__file__")
    kind = _origin.kind_of(file) if type(file) is str else 0
    if names is of_module:
        # Text that ran in a library's own module, as `manage.py shell -c` has it, is still the program's.
        return None if kind else code
    # A wrapper has a few globals of its own, and the name of the module of the function that it wraps.
    return _generated(code, name) if kind and isinstance(name, str) else None


def _generated(code: CodeType, module: str) -> CodeType:
    return code.replace(co_filename=f"<{module} generated {code.co_name}>")
