"""Scopes for Celery: each task is a scope with the name of the task.

Write in the module that makes the application: `from whoholds.scopes import celery; celery.connect()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import task_postrun, task_prerun

from whoholds.scopes.units import begin, end

if TYPE_CHECKING:
    from whoholds.scopes.units import Unit

_running: dict[str, Unit] = {}  # by id of the task; each change is one C call


def connect() -> None:
    """From now on each task that this process runs is a scope. A second call changes nothing."""
    task_prerun.connect(_began, weak=False, dispatch_uid="whoholds")
    task_postrun.connect(_ended, weak=False, dispatch_uid="whoholds")


def disconnect() -> None:
    """From now on tasks are no longer scopes. A second call changes nothing."""
    task_prerun.disconnect(_began, dispatch_uid="whoholds")
    task_postrun.disconnect(_ended, dispatch_uid="whoholds")


def _began(sender: Any = None, task_id: str = "", **_: Any) -> None:
    _running[task_id] = begin(sender.name, "task")


def _ended(task_id: str = "", **_: Any) -> None:
    unit = _running.pop(task_id, None)
    if unit is not None:
        end(unit)
