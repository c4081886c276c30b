"""Hooks for APScheduler 3: what a scheduled job opens was started by the program's `add_job`, not by the scheduler.

They run in the user's threads and must take no lock. What they note is kept on the scheduler, by the job's id, for a
job store may make the Job anew for each run.
"""

from __future__ import annotations

import sys

from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger.here import current_owner, noted
from whoholds.ledger.owner import Spawn

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_ADDED = "_whoholds_added"  # attribute of a scheduler: the id of a job → what makes the Spawn of the call that added it
_MOST = 1000  # jobs of a scheduler that are remembered; beyond, the one that has not run for longest goes
_EXECUTORS = "apscheduler.executors."


def jobs(module: ModuleType) -> Callable[[], None]:
    """Hook the constructor of Job, which `add_job` and `scheduled_job` call. The returned call undoes it."""
    kind = module.Job
    original = kind.__init__

    def __init__(self: Any, scheduler: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes a method of the class
        original(self, scheduler, *args, **kwargs)
        try:
            _remember(scheduler.__dict__.setdefault(_ADDED, {}), self.id, noted(sys._getframe(1)))
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)

    return replace(kind, "__init__", stands_for(__init__, original))


def runs(module: ModuleType) -> Callable[[], None]:
    """Hook the functions that run a job, in `module` and in the executors that have imported them by name.

    Before APScheduler 3.11 the coroutine function has a module of its own.
    """
    undo: list[Callable[[], None]] = []
    for name, standing in (("run_job", _running), ("run_coroutine_job", _running_coroutine)):
        original = getattr(module, name, None)
        if original is None:
            continue
        ours = standing(original)
        for place, loaded in list(sys.modules.items()):
            if place.startswith(_EXECUTORS) and vars(loaded).get(name) is original:
                undo.append(replace(loaded, name, ours))

    def restore() -> None:
        while undo:
            undo.pop()()

    return restore


def _running(original: Callable[..., Any]) -> Any:
    def run_job(job: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _started_by_its_adding(job)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
        return original(job, *args, **kwargs)

    return stands_for(run_job, original)


def _running_coroutine(original: Callable[..., Any]) -> Any:
    async def run_coroutine_job(job: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _started_by_its_adding(job)
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error, original)
        return await original(job, *args, **kwargs)

    return stands_for(run_coroutine_job, original)


def _started_by_its_adding(job: Any) -> None:
    """The owner that runs `job` was spawned where the job was added. A thread that only runs it for once was not."""
    added: dict[Any, Any] = getattr(getattr(job, "_scheduler", None), _ADDED, {})
    adding = added.get(job.id)
    owner = current_owner()
    if adding is None or owner is None or owner.kind == "thread":
        return
    if len(added) > _MOST // 2:
        _remember(added, job.id, adding)
    spawn, origin = owner.spawn, adding[0]
    owner.spawn = Spawn(origin, adding[1], spawn.context if spawn else None, spawn.scope if spawn else None)
    owner.spawn.width = spawn.width if spawn else None


def _remember(added: dict[Any, Any], number: Any, adding: tuple[Any, ...]) -> None:
    """Put a job last in order; each change is one C call."""
    added.pop(number, None)
    added[number] = adding
    if len(added) > _MOST:
        for oldest in list(added)[:-_MOST]:  # a copy, for other threads add and run jobs meanwhile
            added.pop(oldest, None)
