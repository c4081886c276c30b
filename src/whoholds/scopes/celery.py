"""For Celery: each task is a scope, named like the task.

In the module that makes the application: `from whoholds.scopes import celery; celery.connect()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import task_postrun, task_prerun

from whoholds.scopes.units import begin, end

if TYPE_CHECKING:
    from whoholds.scopes.units import Unit

_running: dict[str, Unit] = {}  # by the task's id; each change one C call


def connect() -> None:
    """Let each task that this process runs be a scope. Twice is once."""
    task_prerun.connect(_began, weak=False, dispatch_uid="whoholds")
    task_postrun.connect(_ended, weak=False, dispatch_uid="whoholds")


def disconnect() -> None:
    """No more scopes."""
    task_prerun.disconnect(_began, dispatch_uid="whoholds")
    task_postrun.disconnect(_ended, dispatch_uid="whoholds")


def _began(sender: Any = None, task_id: str = "", **_: Any) -> None:
    _running[task_id] = begin(sender.name, "task")


def _ended(task_id: str = "", **_: Any) -> None:
    unit = _running.pop(task_id, None)
    if unit is not None:
        end(unit)
