"""Compares two stacks of one owner, to see whether the function that took something is still running.

Stacks are origins, which keep code objects and offsets. A later pass of a loop is recognised by a line that is not
further down than the line at which the loop called before.
"""

from __future__ import annotations

from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.blame import kind_of, user_index
from whoholds.ledger.origin import line_at

if TYPE_CHECKING:
    from types import CodeType

    from whoholds.ledger.origin import Origin

_GENERATOR = CO_GENERATOR | CO_ASYNC_GENERATOR


def keeper_index(origin: Origin) -> int:
    """Index of the frame that has what was taken: that of the line, or of the caller of its generator."""
    at = user_index(origin)
    worst = kind_of(_code(origin, at).co_filename)
    while _code(origin, at).co_flags & _GENERATOR:
        callers = range(at + 2, len(origin), 2)
        above = next((caller for caller in callers if kind_of(_code(origin, caller).co_filename) <= worst), None)
        if above is None:
            break
        at = above
    return at


def has_callers(origin: Origin, at: int, callers: Origin) -> bool:
    """True if the frames outside the frame at `at` are `callers`, as far as both are known.

    The outermost frames of a deep stack are not kept.
    """
    beyond = origin[at + 2 :]
    least = min(len(callers), len(beyond))
    return callers == beyond or (least > 0 and callers[:least] == beyond[:least])


class Unfinished(NamedTuple):
    """What is known of the calls in which something was taken, from the present stack of the owner."""

    inside: bool  # the owner is still in one of the program's functions that led to the taking
    by_keeper: bool  # in the innermost of them, which keeps what was taken; else that has returned to its caller
    known: bool = True  # False if a generator keeps what was taken and a library calls it: no stack shows it


def unfinished(taken: Origin, now: Origin, *, whole: bool = False) -> Unfinished:
    """Compare the stack `taken`, with which an owner took something, with its present stack `now`.

    The innermost of the program's own functions that is on both stacks, with the same callers, decides: the owner is
    inside if that function has gone on from the line at which it was, and not inside if it has come back to this line
    or to one before it, as a loop does. With `whole`, the owner is a task: `now` ends where its own code ends, and only
    lines are compared, because a coroutine that awaits stands at other offsets while the awaited one runs.
    """
    if whole:
        taken, now = _by_line(taken), _by_line(now)
    keeper = keeper_index(taken)
    for at in range(keeper, len(taken), 2):
        if at != keeper and kind_of(_code(taken, at).co_filename):
            continue
        callers = taken[at + 2 :]
        for other in range(0, len(now), 2):
            same = now[other] == taken[at]
            if same and (has_callers(now, other, callers) or (whole and other + 2 == len(now))):
                return Unfinished(_place(now, other) > _place(taken, at), at == keeper)
    return Unfinished(False, False, not _code(taken, keeper).co_flags & _GENERATOR)


def _by_line(origin: Origin) -> Origin:
    """The origin with lines in place of offsets."""
    pairs: list[CodeType | int] = []
    for index in range(0, len(origin), 2):
        pairs += (origin[index], -_place(origin, index)[0])
    return tuple(pairs)


def _place(origin: Origin, index: int) -> tuple[int, int]:
    """The line and the offset of the frame at `index`, which order two places of one function."""
    offset: int = origin[index + 1]  # type: ignore[assignment]  # offsets at odd places
    return line_at(_code(origin, index), offset), offset


def _code(origin: Origin, index: int) -> CodeType:
    return origin[index]  # type: ignore[return-value]  # even places hold code objects
