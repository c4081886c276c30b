"""Compares two stacks of one owner, to see whether the function that took something is still running.

Stacks are origins, which keep code objects and offsets. A later pass of a loop is recognised by a place that is not
further down than the place at which the loop called before.
"""

from __future__ import annotations

from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.blame import WATCHED, kind_at, library_path, user_index
from whoholds.ledger.origin import line_at

if TYPE_CHECKING:
    from types import CodeType

    from whoholds.ledger.origin import Origin

KEEPER, CALLER, LIBRARY = "keeper", "caller", "library"

_GENERATOR = CO_GENERATOR | CO_ASYNC_GENERATOR
# Bytes between the offsets of one `await` while the awaited code runs, and while all of it is suspended: 2 on CPython
# 3.10 to 3.12, 6 on 3.13. Two awaits of one line are at least 8 apart.
_ONE_AWAIT = 6
_JOINING = (
    "concurrent/futures/",
    "multiprocessing/pool.py",
    "asyncio/tasks.py",
    "asyncio/taskgroups.py",
    "asyncio/runners.py",
    "asyncio/base_events.py",
    "asgiref/sync.py",
)


def keeper_index(origin: Origin) -> int:
    """Index of the frame that has what was taken: that of the line, or of the caller of its generator."""
    at = user_index(origin)
    worst = kind_at(origin, at)
    while _code(origin, at).co_flags & _GENERATOR:
        callers = range(at + 2, len(origin), 2)
        above = next((caller for caller in callers if kind_at(origin, caller) <= worst), None)
        if above is None:
            break
        at = above
    return at


def has_callers(origin: Origin, at: int, callers: Origin, slack: int = 0) -> bool:
    """True if the frames outside the frame at `at` are `callers`, as far as both are known.

    The outermost frames of a deep stack are not kept, and of one whose inner frames are all a library's, those between
    them and the nearest of the program's own. Offsets may differ by `slack`.
    """
    beyond = origin[at + 2 :]
    least = min(len(callers), len(beyond))
    if not least:
        return callers == beyond
    if _are_equal(callers[:least], beyond[:least], slack):
        return True
    own = next((index for index in range(0, len(callers), 2) if not kind_at(callers, index)), None)
    if own is None or not _are_equal(callers[:own], beyond[:own], slack):
        return False
    is_alone = own > 0 or origin[::2].count(origin[at]) == 1  # without a caller in common, only its name tells
    return is_alone and _begins_later(callers[own:], beyond[own:], slack)


def _begins_later(outermost: Origin, frames: Origin, slack: int) -> bool:
    """True if `frames` are some others, and then the `outermost`, as far as both are known."""
    for at in range(0, len(frames), 2):
        least = min(len(outermost), len(frames) - at)
        if _are_equal(outermost[:least], frames[at : at + least], slack):
            return True
    return False


def _are_equal(one: Origin, other: Origin, slack: int) -> bool:
    if one == other or not slack:
        return one == other
    return one[::2] == other[::2] and all(map(_is_one_place, one[1::2], other[1::2], repeat(slack)))  # type: ignore[arg-type]  # offsets at odd places


class Unfinished(NamedTuple):
    """What is known of the calls in which something was taken, from the present stack of the owner."""

    inside: bool  # the owner is still in the call that decides, further down than where it took
    by: str  # whose call decides: KEEPER has what was taken; CALLER and LIBRARY are outside it; "" if none is known
    known: bool = True  # False if a generator keeps what was taken and a library calls it: no stack shows it


def unfinished(taken: Origin, now: Origin, *, whole: bool = False) -> Unfinished:
    """Compare the stack `taken`, with which an owner took something, with its present stack `now`.

    The innermost function that is on both stacks, with the same callers, decides: the owner is inside if that function
    has gone on from the place at which it was, and not inside if it has come back to this place or to one before it, as
    a loop does. If it is the program's own, it is the function that keeps what was taken (KEEPER), or a CALLER. If it
    is a library's, the library called that function: a web framework its hooks, one after the other, and then the view.
    A library that the keeper called, and that has gone on from there, belongs to the keeper's call.

    With `whole`, the owner is a task: `now` ends where its own code ends, and a coroutine that awaits stands at another
    offset while the awaited one runs than while all of them are suspended.
    """
    keeper = keeper_index(taken)
    at, other = _innermost_on_both(taken, now, whole=whole)
    in_a_generator = bool(_code(taken, keeper).co_flags & _GENERATOR)
    if at < 0:
        return Unfinished(False, "", not in_a_generator)
    inside = is_further(now, other, taken, at, _ONE_AWAIT * whole)
    if at == keeper or (inside and at < keeper):
        return Unfinished(inside, KEEPER)
    if not kind_at(taken, at):
        return Unfinished(inside, CALLER)
    return Unfinished(inside, LIBRARY, inside or not in_a_generator)


def is_further(now: Origin, index: int, before: Origin, at: int, slack: int = 0) -> bool:
    """True if a function, at `index` in `now`, is further down than it was, at `at` in `before`."""
    stands, was = _place(now, index), _place(before, at)
    return stands > was and not _is_one_place(stands[1], was[1], slack)


def joins(started: Origin, now: Origin, *, whole: bool = False) -> bool:
    """True if an owner that started another with the stack `started` waits in the same function for such others to end.

    `now` is its present stack, and `whole` as for `unfinished`.
    """
    at, other = _innermost_on_both(started, now, whole=whole)
    if at < 0:
        return False
    entered = _code(now, other - 2) if other else None
    at_the_end = entered is not None and entered.co_name in ("__exit__", "__aexit__")  # at the line of the `with`
    if not at_the_end and _place(now, other)[0] < _place(started, at)[0]:
        return False
    if entered is None:
        return whole  # `await task`, `await asyncio.gather(…)`: futures have no frame
    path = library_path(entered.co_filename)
    if path.startswith(("threading.py", "anyio/")):
        return entered.co_name in ("join", "__aexit__")
    return path.startswith(_JOINING) and entered.co_name != "sleep"


def _innermost_on_both(taken: Origin, now: Origin, *, whole: bool) -> tuple[int, int]:
    """The indices, in the two stacks, of the innermost function on both with the same callers; (-1, -1) if none.

    The functions of watched libraries, and of the standard library, with which `now` ends, do not count: a pool goes
    through the same functions for each loan.
    """
    first = next((index for index in range(0, len(now), 2) if kind_at(now, index) < WATCHED), -1)
    if first < 0:
        return -1, -1
    at, other = _from_outside(taken, now)
    if at >= 0:
        further = max(first - other, 0)
        return (at + further, other + further) if other + further < len(now) else (-1, -1)
    codes = now[first::2]
    for at in range(0, len(taken), 2):
        if taken[at] in codes:
            callers = taken[at + 2 :]
            for other in range(first, len(now), 2):
                if now[other] == taken[at]:
                    ends = whole and other + 2 == len(now)
                    if ends or has_callers(now, other, callers, _ONE_AWAIT * whole):
                        return at, other
    return -1, -1


def _from_outside(taken: Origin, now: Origin) -> tuple[int, int]:
    """The same for two stacks that are known up to their outermost frames, which are equal; (-1, -1) if they are not.

    Watched functions count here. Nothing is known if frames may be left out inside the innermost of the program's own.
    """
    at, other = len(taken) - 2, len(now) - 2
    while at >= 0 <= other and taken[at] == now[other] and taken[at + 1] == now[other + 1]:
        at -= 2
        other -= 2
    if at + 2 == len(taken):
        return -1, -1
    if at >= 0 <= other and taken[at] == now[other]:
        return at, other
    at, other = at + 2, other + 2
    return (at, other) if at == 0 or user_index(taken) != at else (-1, -1)


def _is_one_place(one: int, other: int, slack: int) -> bool:
    """True if two offsets of one function are the same; lines, which are negative, must be equal."""
    return one == other or (min(one, other) >= 0 and abs(one - other) <= slack)


def _place(origin: Origin, index: int) -> tuple[int, int]:
    """The line and the offset of the frame at `index`, which order two places of one function."""
    offset: int = origin[index + 1]  # type: ignore[assignment]  # offsets at odd places
    return line_at(_code(origin, index), offset), offset


def _code(origin: Origin, index: int) -> CodeType:
    return origin[index]  # type: ignore[return-value]  # even places hold code objects
