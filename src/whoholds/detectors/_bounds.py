"""What limits a crowd of handles, in sentences and in numbers, and advice on how to limit it."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from whoholds.analysis.blame import kind_of
from whoholds.analysis.finding import holders_of
from whoholds.analysis.standing import thread_of
from whoholds.analysis.work import is_a_request
from whoholds.detectors._closing import how_to_close, mistake
from whoholds.ledger.handle import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.finding import Part
    from whoholds.analysis.sites import Site
    from whoholds.ledger.handle import Handle

ONE_POOL = "Create one pool (or engine) for the process and share it; if you do create another, dispose of the first."
_ONE_EXECUTOR = "Create one executor for the process and share it, or take the connections from a pool."
_BY_A_LIBRARY = "A library starts these requests or jobs. Let them take connections from a pool {}."
_SMALL, _SMALLER = "of a few", "smaller than the server's limit"  # for a file, and for a server
_LIMITS = {
    "task": "asyncio.Semaphore(…)",
    "greenlet": "gevent.pool.Pool(…)",
    "thread": "ThreadPoolExecutor(max_workers=…)",
}
_FEWER_WORKERS = "Lower max_workers, or take the connections from a smaller pool."


def maker(handle: Handle) -> Site | None:
    """The line to name for `handle`: the line that made its pool if the pool has a limit, else the opening line.

    A pool with a limit is to blame only if one line made many such pools.
    """
    pool = handle.pool
    site: Site | None = handle.site
    if pool is not None and pool.max is not None and pool.site is not None:
        site = pool.site
    return site


def crowd(part: Part) -> int:
    """The number of different pools with a limit that the handles of `part` belong to; 0 if they belong to none."""
    return len({handle.pool for handle in part.handles if handle.pool is not None and handle.pool.max is not None})


def _executors(part: Part) -> tuple[int, int, int]:
    """(workers per executor, workers that hold handles of `part`, least number of executors these workers belong to).

    (0, 0, 0) if the owners are not workers of an executor.
    """
    width = part.spawn.width if part.spawn else None
    if not width:
        return 0, 0, 0
    workers = {(handle.owner.thread or handle.owner) for handle in part.handles if handle.owner is not None}
    named = {worker.name.rpartition("_")[0] for worker in workers}
    return width, len(workers), max(len(named), math.ceil(len(workers) / width))


def unlimited(handles: Sequence[Handle]) -> list[Handle]:
    """Those of the handles whose number nothing limits.

    The load limits those of requests, and an executor limits those of which each worker has one.
    """
    threads = Counter(map(thread_of, handles))
    by_workers = {thread for thread, count in threads.items() if thread is not None and thread.is_worker and count == 1}
    return [handle for handle in handles if thread_of(handle) not in by_workers and not is_a_request(handle.owner)]


def bounded(part: Part) -> tuple[str, ...]:
    """A sentence that says whether the executor of the owners limits how many handles they hold.

    Empty if the owners are not workers of an executor.
    """
    width, workers, executors = _executors(part)
    if not width:
        return ()
    if executors > 1:
        each = f"{width} worker{'s' * (width != 1)} each"
        return (f"There are at least {executors} executors, of {each}, and nothing limits what they hold together.",)
    if part.count > workers:
        return (f"The executor's {width} workers do not limit the number: {workers} of them hold {part.count}.",)
    return (f"The executor's {width} workers limit the number: {part.count} of them hold one each.",)


def advice(parts: Sequence[Part]) -> tuple[str, ...]:
    """Advice about the largest part, which is the first: a line each."""
    part = parts[0]
    if part.handles and part.handles[0].kind == CHECKOUT:
        later = "Hold it only while you use it. Consider a larger pool only after that."
        return (*how_to_close(part.handles, may_come=True), later)
    if crowd(part):
        return (ONE_POOL,)
    width, workers, executors = _executors(part)
    if width and (executors > 1 or part.count > workers):
        return (_ONE_EXECUTOR,) if executors > 1 else how_to_close(part.handles, may_come=True)
    return _by_owners(part, width, alone=len(parts) == 1)


def _by_owners(part: Part, width: int, *, alone: bool) -> tuple[str, ...]:
    """Advice by who opened the handles of `part`: one owner, a few with many each, or many.

    `width` is the workers of their executor, or 0; `alone` says that there is no other part.
    """
    owners = 0 if part.more_owners else len(holders_of(part.handles))
    if part.spawn is None or owners == 1:
        close = "One line opens them all: close" if alone else "Close"
        one_at_a_time = f"{close} each before the next is opened, or share one connection, or a pool."
        return (*mistake(part.handles, may_come=True), one_at_a_time)
    in_a_loop = 0 < owners * owners <= part.count  # each holds at least as many as there are owners
    by_a_library = part.spawned is not None and kind_of(part.spawned.frame.file)
    if not in_a_loop and (by_a_library or is_a_request(part.handles[0].owner if part.handles else None)):
        return (_BY_A_LIBRARY.format(_SMALLER if _is_on_a_server(part) else _SMALL),)
    if not width and 0 < 2 * owners <= part.count:
        return _several_each(part, owners, limit=not in_a_loop)
    return (_FEWER_WORKERS,) if width else _one_each(part)


def _is_on_a_server(part: Part) -> bool:
    """Whether the handles of `part` lead to a server, which has a limit, and not to a file."""
    return any(handle.database.host for handle in part.handles)


def _several_each(part: Part, owners: int, *, limit: bool) -> tuple[str, ...]:
    """Advice for tasks, greenlets or threads that open several connections each; `limit` adds how to limit the owners.

    Nothing tells whether the program starts an owner for each item: a library's worker may be one of these owners.
    """
    kind = _kind(part)
    close = f"close each before its {kind} opens the next, or share a pool."
    opened = f"{owners} {kind}s opened these {part.count}: {close}"
    return (
        *mistake(part.handles, may_come=True),
        f"{opened} Limit the {kind}s, too ({_LIMITS[kind]})." if limit else opened,
    )


def _kind(part: Part) -> str:
    """What kind of owner opened the handles of `part`, as a key of `_LIMITS`."""
    kinds = {handle.owner.kind for handle in part.handles if handle.owner is not None}
    return next((kind for kind in _LIMITS if kind in kinds), "thread")


def _one_each(part: Part) -> tuple[str, ...]:
    """Advice for an unlimited number of tasks, greenlets or threads that open a connection each."""
    kind = _kind(part)
    starts = f"The program starts a {kind} for each item, and each {kind} opens a connection."
    return (
        f"{starts} Limit the {kind}s ({_LIMITS[kind]}), share a pool, or fetch the data of all items in one query.",
    )
