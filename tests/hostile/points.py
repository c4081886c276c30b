"""At which instructions CPython lets a signal's handler run, and raises what another thread has set.

The source is `ceval.c` of each version. From 3.11 on the evaluation loop asks where a function begins (not where it goes
on behind an `await`), when a call has returned, and at a jump back. 3.10 asks at the first instruction of each call and
of each exception handler, when a call has returned, and at each jump that is taken but `JUMP_FORWARD`.
"""

from __future__ import annotations

import dis
import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

RAISED = -1  # where a frame was last: an exception came up in it
_OLD = sys.version_info < (3, 11)
_NEVER = ("SETUP_FINALLY", "SETUP_WITH", "BEFORE_ASYNC_WITH", "YIELD_FROM")  # before these 3.10 does not ask
_UNIT = 2  # bytes of an instruction


def at_the_beginning(frame: FrameType) -> bool:
    """Whether a handler may run where this call begins, or goes on: what waits goes on without asking."""
    names = _names(frame.f_code)
    if _OLD:
        return frame.f_lasti < 0 and names[0] not in _NEVER
    first = next((offset for offset, name in names.items() if name == "RESUME"), 0)
    return frame.f_lasti <= first


def between(code: CodeType, before: int, now: int) -> bool:
    """Whether a handler may run after the instruction at `before` (RAISED: an exception came up) and before `now`."""
    names = _names(code)
    if _OLD and names[now] in _NEVER:
        return False
    name = names.get(before, "RERAISE")
    if "RAISE" in name:
        return _OLD
    if name.startswith(("CALL", "PRECALL", "INSTRUMENTED_CALL")):
        return not name.startswith(("CALL_INTRINSIC", "PRECALL"))
    if _OLD:
        return name == "JUMP_ABSOLUTE" or (name.startswith("POP_JUMP") and now != before + _UNIT)
    return "JUMP" in name and "NO_INTERRUPT" not in name and now <= before


@functools.cache
def _names(code: CodeType) -> dict[int, str]:
    return {one.offset: one.opname for one in dis.get_instructions(code)}
