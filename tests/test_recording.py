"""A recorded run is judged again: the same findings as live, whatever has ended since, in another process, too."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.worlds import CARS, REPORT, SHOP, USERS, Program, ends, job, task, thread
from whoholds.detectors import ALL
from whoholds.ledger.handle import CHECKOUT, COLLECTED
from whoholds.ledger.scope import Scope
from whoholds.reporting.first_line import message
from whoholds.testing.recording import Recording, restored

if TYPE_CHECKING:
    from pathlib import Path

    from whoholds.analysis.finding import Finding, Look

AGAIN = """
import sys, pathlib
from whoholds.settings.limits import Limits
from whoholds.reporting.first_line import message
from whoholds.testing.recording import Recording

looks = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]
for look in Recording(looks).found(Limits().with_settings(too_many=8, held_too_long=5, idle_in_transaction=2, owner_gone=1)):
    print(sorted(f"{finding.severity} {message(finding)} {finding.why}" for finding in look))
"""


def lived() -> tuple[Program, Recording, list[list[Finding]]]:
    """Give a program that has run into most of the rules, its recording, and what each look found live."""
    found: list[list[Finding]] = []

    def keep(look: Look) -> None:
        found.append(list(look.found))

    recording = Recording()
    limits = {"too_many": 8, "held_too_long": 5, "idle_in_transaction": 2, "owner_gone": 1}
    program = Program(keep, detectors={"recording": recording, **ALL}, **limits)
    workers = [thread(f"worker-{number}", REPORT, worker=True) for number in range(3)]
    owners = [*workers, *(job(worker) for worker in workers), *(task(f"Task-{number}") for number in range(3))]
    scope = Scope("GET /cars", "request")
    handles = [program.opens(CARS, by=owner, scope=scope) for owner in owners]
    waiting = [
        program.opens(USERS, by=owner, in_transaction=True, ring=[("select 1", 0.0, 0.1)]) for owner in owners[:3]
    ]
    program.looks()
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    program.ledger.scope_over(scope)
    for owner in owners[-3:]:
        ends(owner)
    for _ in range(4):
        program.looks(2.0)
    for handle in handles:
        program.ledger.closed(handle, COLLECTED if handle is handles[0] else "closed")
    program.looks()
    starves(program)
    program.exits()
    assert waiting[0].open
    return program, recording, found


def starves(program: Program) -> None:
    """Two requests wait for a pool that lends nothing any more, after one loan has come back."""
    ledger = program.ledger
    theirs = type("Theirs", (), {})()
    pool = ledger.pool_made(theirs, "pool", None, 1)
    stock = program.opens(CARS, pool=pool)
    lend = partial(ledger.opened, CHECKOUT, "pool", SHOP, None, None, parent=stock, pool=pool, began=program.clock())
    ledger.closed(lend())
    lend()
    requests = [ledger.asks(pool, None) for _ in range(2)]
    program.looks(6.0)
    for request in requests:
        request.answered()


def told(looks: list[list[Finding]]) -> list[list[str]]:
    """Give what is said of each look's findings, in an order of their own."""
    return [sorted(f"{finding.severity} {message(finding)} {finding.why}" for finding in look) for look in looks]


def test_a_recording_gives_the_same_findings_as_the_run() -> None:
    """After everything has closed and ended, and after the limits of the watch were changed."""
    program, recording, found = lived()
    live = told(found)
    limits = program.watch.limits
    assert {finding.rule for look in found for finding in look} >= {
        "too-many-at-once",
        "refused",
        "idle-in-transaction",
        "held-too-long",
        "waiting-too-long",
        "owner-gone",
        "left-open",
        "collected-open",
        "given-back",
    }
    for handle in program.watch.handles:
        program.ledger.closed(handle)
        if handle.owner is not None:
            ends(handle.owner)
    program.looks()
    again = told(recording.found(limits))
    assert again[: len(live)] == live


def test_a_recording_is_judged_with_other_limits() -> None:
    """What would have been found with them."""
    program, recording, _ = lived()
    strict = recording.found(program.watch.limits.with_settings(too_many=2))
    lax = recording.found(program.watch.limits.with_settings(too_many=200))
    counts = [sum(finding.rule == "too-many-at-once" for look in found for finding in look) for found in (strict, lax)]
    assert counts[0] > 0 == counts[1]


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    """It has none of the program's code, threads or tasks."""
    program, recording, found = lived()
    for number, look in enumerate(recording.looks):
        (tmp_path / f"{number:04}").write_bytes(look)
    ran = subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[: len(found)] == [str(look) for look in told(found)]
    assert program.watch.failed == []


def test_nothing_of_the_programs_is_in_it() -> None:
    """No constant of its code, no object of its own; its lines and names are."""

    class Secret:
        pass

    program, recording, _ = lived()
    handle = program.opens(context=Secret(), probe=partial(_asks_about, Secret()))
    handle.origin = (_load.__code__, 0)
    program.looks()
    look = recording.looks[-1]
    assert b"hunter2" not in look
    assert b"Secret" not in look
    (again,) = [one for one in restored(look).open if one.opened_stamp == handle.opened_stamp]
    assert again.site.frame == handle.site.frame
    assert (again.site.frame.function, again.context, again.probe) == ("_load", None, None)


def _load() -> str:
    return "hunter2"


def _asks_about(secret: object, handle: object) -> None:
    """Stand for a driver's probe, which refers to the program's own objects."""
    del secret, handle
