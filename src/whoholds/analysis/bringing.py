"""Tasks, threads and jobs that run nothing of the program's: `gather(connect(), …)`, `to_thread(sqlite3.connect, …)`.

Their lines are those of the calls that started them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from whoholds.analysis.blame import WATCHED, kind_at

if TYPE_CHECKING:
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner, Spawn

_STARTED = ("task", "job", "thread")  # kinds of owners that may be given a library's function
_LOOP = frozenset(("events.py", "base_events.py", "runners.py"))  # of asyncio: what stands below asked for nothing
_NEAR = 8  # places of a stack: four frames


def give_to_the_waiting(handle: Handle) -> None:
    """Until Python 3.11 `wait_for` makes a task of what it waits for: the handle is that of the task that waits.

    Its line is that of the waiting task, too, where no code of the program's ran in between.
    """
    owner = handle.owner
    while owner is not None and _is_of_wait_for(owner) and owner.spawn is not None and owner.spawn.by is not None:
        end = _end_of_task(handle)
        handle.origin = handle.origin[:end] + owner.spawn.origin + handle.origin[end:]
        handle.owner = owner = owner.spawn.by


def with_its_start(origin: Origin, owner: Owner | None) -> Origin:
    """The stack of an owner, continued with that of the call that started it if the owner ran no code of the program's.

    Of a task, what stands below the event loop's frame, such as `asyncio.run(main())`, asked for nothing: without this,
    it would be the innermost line of the program's. A thread or job that runs a library's code, as a server's thread
    runs Django's admin, stays as it is, for the library's line says more than the line that started the server; unless
    the program itself gave the job that function, as with `to_thread(session.execute, …)`.
    """
    if owner is None or owner.kind not in _STARTED or owner.spawn is None or owner.part_of is not None:
        return origin
    past_libraries = owner.kind == "task" or (owner.kind == "job" and _was_given_by_program(owner.spawn))
    end = 0
    while end < len(origin):
        kind = kind_at(origin, end)
        if not kind or (kind != WATCHED and not past_libraries):
            return origin
        if _in_asyncio(origin[end].co_filename) in _LOOP:  # type: ignore[union-attr]  # code objects at even places
            break
        end += 2
    start = _start_of(owner)
    return origin[:end] + start + origin[end:]


def _was_given_by_program(spawn: Spawn) -> bool:
    """Whether the call that started a job is the program's own, and not that of a library that the program called."""
    kinds = [kind_at(spawn.origin, place) for place in range(0, len(spawn.origin), 2)]
    return next((kind for kind in kinds if kind != WATCHED), WATCHED) == 0


def _start_of(owner: Owner) -> Origin:
    """The stacks of the calls that started the owner, its starter and so on, up to one with code of the program's.

    () if there is none.
    """
    start: Origin = ()
    starter: Owner | None = owner
    while starter is not None and starter.kind in _STARTED and starter.spawn is not None:
        start += starter.spawn.origin
        if any(not kind_at(starter.spawn.origin, place) for place in range(0, len(starter.spawn.origin), 2)):
            return start
        starter = starter.spawn.by
    return ()


def place_requests(taken: Entries) -> None:
    """Continue the stacks of those who wait, who were refused, and who were locked out, in the same way."""
    for request in taken.requests:
        request.origin = with_its_start(request.origin, request.owner)
    for refusal in taken.refusals:
        refusal.origin = with_its_start(refusal.origin, refusal.owner)
        for request in refusal.requests:
            request.origin = with_its_start(request.origin, request.owner)
    for lockout in taken.lockouts:
        lockout.origin = with_its_start(lockout.origin, lockout.owner)


def is_brought(handle: Handle, since: float) -> bool:
    """Whether a task or job in which no code of the program's ran has opened it: what awaited that has it now.

    False if a look had seen by `since` that that has ended, too.
    """
    owner = handle.owner
    if owner is None or owner.kind not in ("task", "job") or owner.spawn is None:
        return False
    end = _end_of_task(handle)
    if owner.kind == "task" and end == len(handle.origin):
        return False
    if any(_kind(handle, place) != WATCHED for place in range(0, _own(handle, end), 2)):
        return False
    by = owner.spawn.by
    return by is None or by.ended_at is None or by.ended_at > since


def _is_of_wait_for(owner: Owner) -> bool:
    if owner.kind != "task" or owner.spawn is None:
        return False
    return any(
        code.co_name == "wait_for" and _in_asyncio(code.co_filename) == "tasks.py"  # type: ignore[union-attr]  # codes at even places
        for code in owner.spawn.origin[:_NEAR:2]
    )


def _end_of_task(handle: Handle) -> int:
    """The index of the event loop's frame in the origin, and the length where there is none."""
    origin = handle.origin
    for place in range(0, len(origin), 2):
        file: str = origin[place].co_filename  # type: ignore[union-attr]  # likewise
        if _in_asyncio(file) in _LOOP:
            return place
    return len(origin)


def _own(handle: Handle, end: int) -> int:
    """Where what the task itself ran ends in the origin, which may go on with its start; `end` if it does not."""
    start = _start_of(handle.owner) if handle.owner is not None else ()
    length = len(start)
    places = (place for place in range(0, end, 2) if start and handle.origin[place : place + length] == start)
    return next(places, end)


def _in_asyncio(file: str) -> str:
    """The name of a file of asyncio's; "" for any other file."""
    folder, name = os.path.split(file)
    return name if folder.endswith("asyncio") else ""


def _kind(handle: Handle, place: int) -> int:
    return kind_at(handle.origin, place)
