"""Detectors are pure: one snapshot, asked twice, gives equal findings, whatever ends or returns in between."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.worlds import AT_EXIT, CARS, REPORT, SHOP, USERS, World, ends, job, task, thread
from whoholds import detectors
from whoholds.analysis.snapshot import Ending
from whoholds.ledger.handle import COLLECTED, FREED
from whoholds.ledger.scope import Scope

FOLDER = Path(detectors.__file__).parent


def busy_world() -> tuple[World, list]:
    """Give a world in which every family has something to look at, and the owners that live in it."""
    world = World(held_too_long=5, idle_in_transaction=2, too_many=8, owner_gone=1)
    workers = [thread(f"worker-{number}", REPORT, worker=True) for number in range(3)]
    owners = [*workers, *(job(worker) for worker in workers), *(task(f"Task-{number}") for number in range(3))]
    owners += [thread(f"Thread-{number}", REPORT) for number in range(3)]
    scope = Scope("GET /cars", "request")
    for owner in owners:
        world.opens(CARS, by=owner, scope=scope)
        world.opens(USERS, by=owner, in_transaction=True)
        freed = world.opens(USERS, by=owner)
        world.closes(freed, how=COLLECTED if owner.kind == "task" else FREED)
    world.refuses()
    world.clock.advance(6)
    return world, owners


@pytest.mark.parametrize("ending", [None, AT_EXIT, Ending("scope", "the job", Scope("the job"))])
def test_the_same_snapshot_gives_equal_findings_while_owners_end(ending: Ending | None) -> None:
    """Threads and tasks end, jobs return, between the first pass of the detectors and the second."""
    world, owners = busy_world()
    snapshot = world.look(ending)
    first = {rule: list(detector(snapshot, world.limits)) for rule, detector in detectors.ALL.items()}
    assert sum(map(len, first.values())) > 3
    world.clock.advance(60)
    for owner in owners:
        ends(owner)
        owner.ended_at = world.clock()  # as a later look notes it
        owner.job_over_at = world.clock() if owner.kind == "job" else None
    again = {rule: list(detector(snapshot, world.limits)) for rule, detector in detectors.ALL.items()}
    assert again == first


def test_no_detector_asks_an_owner_itself() -> None:
    """`Snapshot.gone` answers; `ref`, `gone`, and live stacks are for those who make the snapshot and the watch."""
    asked = {
        (path.name, node.attr)
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("ref", "_current_frames", "done", "stacks_of")
    }
    asked |= {
        (path.name, ast.unparse(node))
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "gone"
        and ast.unparse(node.func.value) != "snapshot"
    }
    assert asked == set()


def test_an_owner_that_ends_is_noted_by_the_look_that_meets_it() -> None:
    """At the time of that look; the worker of a job, too, and also where the handle has ended meanwhile."""
    world = World()
    worker = thread("worker", REPORT, worker=True)
    owner = job(worker)
    handle = world.opens(by=owner)
    assert not world.look().gone(owner)
    ends(worker)
    world.clock.advance(1)
    world.closes(handle)
    snapshot = world.look()
    assert snapshot.gone(worker)
    assert snapshot.gone(owner)
    assert worker.ended_at == owner.ended_at == world.clock()


def test_each_owner_is_asked_once_a_look() -> None:
    """However many handles it has: asking is a call into the library that runs the task."""
    calls = []

    class Counted:
        def done(self) -> bool:
            calls.append(1)
            return False

    world = World()
    kept = Counted()
    owner = task("Task-1")
    owner.ref = lambda: kept
    for _ in range(10):
        world.opens(by=owner, to=SHOP)
    world.look()
    assert calls == [1]
