"""second-while-holding, shared-at-once and shared-across-fork on worlds written by hand."""

from __future__ import annotations

import dis
import functools
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import CARS, REPORT, SHOP, STOCK, USERS, World, at, said, task, thread
from whoholds.analysis import nesting
from whoholds.analysis.nesting import MANY
from whoholds.analysis.rules import BITS
from whoholds.detectors.sharing import second_while_holding, shared_across_fork, shared_at_once
from whoholds.ledger.database import database
from whoholds.ledger.entries import Sharing
from whoholds.ledger.handle import Request
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import from_lines
from whoholds.reporting.report import text

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from whoholds.ledger.origin import Origin

AUDIT = "/srv/shop/audit.py:5 write"


def nested(owners: int, *lines: str, pool: bool = False) -> World:
    """Give a world in which each of so many owners holds one handle of each line at once, in that order."""
    world = World()
    lender = world.pool() if pool else None
    for number in range(owners):
        owner = thread(f"Thread-{number}", REPORT)
        for line in lines:
            world.opens(line, by=owner, kind="checkout" if pool else "connection", pool=lender)
    return world


def test_two_owners_that_nest_at_the_same_two_lines_can_starve_each_other() -> None:
    """Both lines are named, with the spawn line of the owners."""
    (found,) = nested(2, CARS, AUDIT).found(second_while_holding)
    assert (found.severity, found.count) == ("warning", 2)
    assert (found.opened.function, found.spawned.frame.function) == ("write", "build")
    assert (found.also.what, found.also.site.frame.function) == ("the first taken", "load_cars")


def test_a_task_nests_though_each_of_its_worker_threads_has_one_stack() -> None:
    """What worker threads do for a task, one after the other, is the task's: `asyncio.to_thread` for each step."""
    world = World()
    for number in range(2):
        whole = task(f"Task-{number}", REPORT)
        for place, line in enumerate((CARS, AUDIT)):
            world.opens(line, by=whole.inside(thread(f"worker-{number}-{place}")))
    (found,) = world.found(second_while_holding)
    assert (found.count, found.opened.function) == (2, "write")


def test_one_owner_alone_waits_for_nobody() -> None:
    """On a server, which has more than two; of a bounded pool one nesting can starve with itself."""
    assert nested(1, CARS, AUDIT).found(second_while_holding) == []
    assert said(nested(1, CARS, AUDIT, pool=True).found(second_while_holding)) == [("warning", 1)]


@pytest.mark.parametrize(("owners", "size"), [(1, 2), (4, 5), (10, 11)])
def test_the_safe_pool_size_is_worked_out(owners: int, size: int) -> None:
    """owners × (held at once − 1) + 1."""
    (found,) = nested(owners, CARS, AUDIT, pool=True).found(second_while_holding)
    assert found.why[0] == "The pool lends at most 5."
    assert f"so far, {owners} owner{'s' * (owners > 1)} held" in found.why[1]
    assert f"{owners} × (2 − 1) + 1 = {size}" in found.why[1]


def test_three_held_at_once_need_a_larger_pool() -> None:
    """4 × (3 − 1) + 1 = 9: the finding of the innermost line measures three."""
    found = nested(4, CARS, USERS, AUDIT, pool=True).found(second_while_holding)
    assert any("4 × (3 − 1) + 1 = 9" in one.why[1] for one in found)


def test_one_after_the_other_is_no_nesting() -> None:
    """The first was given back before the second was asked for."""
    world = World()
    for number in range(3):
        owner = thread(f"Thread-{number}", REPORT)
        world.closes(world.opens(CARS, by=owner))
        world.opens(AUDIT, by=owner)
    assert world.found(second_while_holding) == []


def test_a_nesting_that_is_over_at_the_look_is_found() -> None:
    """From the stamps: both have closed since."""
    world = World()
    for number in range(2):
        owner = thread(f"Thread-{number}", REPORT)
        outer, inner = world.opens(CARS, by=owner), world.opens(AUDIT, by=owner)
        world.closes(inner, outer)
    assert said(world.found(second_while_holding)) == [("warning", 2)]


def test_different_databases_do_not_starve_each_other() -> None:
    """Nor do different pools."""
    world = World()
    one, two = world.pool(), world.pool()
    for number in range(3):
        owner = thread(f"Thread-{number}", REPORT)
        world.opens(CARS, by=owner)
        world.opens(AUDIT, by=owner, to=STOCK)
        world.opens(CARS, by=owner, kind="checkout", pool=one)
        world.opens(AUDIT, by=owner, kind="checkout", pool=two)
    assert world.found(second_while_holding) == []


def test_one_owner_in_each_of_many_databases_waits_for_nobody() -> None:
    """A file for each tenant: the lines are the same, what is waited for is not."""
    world = World()
    for number in range(3):
        owner = thread(f"Thread-{number}", REPORT)
        for line in (CARS, AUDIT):
            world.opens(line, by=owner, to=database("sqlite", name=f"/srv/tenants/{number}.db"))
    assert world.found(second_while_holding) == []


def test_the_safe_size_counts_the_owners_of_earlier_looks_too() -> None:
    """They come again: the number is never that of one look."""
    world = nested(1, CARS, AUDIT)
    assert world.found(second_while_holding) == []
    owner = thread("Thread-9", REPORT)
    for line in (CARS, AUDIT):
        world.opens(line, by=owner)
    (found,) = world.found(second_while_holding)
    assert "so far, 2 owners held" in found.why[0]
    assert "2 × (2 − 1) + 1 = 3" in found.why[0]


def test_the_safe_size_counts_the_owners_of_one_database() -> None:
    """Two in one and three in another: the larger of the two needs 3 × (2 − 1) + 1."""
    world = World()
    for number, tenant in enumerate("aabbb"):
        owner = thread(f"Thread-{number}", REPORT)
        for line in (CARS, AUDIT):
            world.opens(line, by=owner, to=database("sqlite", name=f"/srv/tenants/{tenant}.db"))
    (found,) = world.found(second_while_holding)
    assert (found.count, "3 × (2 − 1) + 1 = 4" in found.why[0]) == (5, True)


def test_different_owners_do_not_nest() -> None:
    """Two tasks of one thread, each with one."""
    world = World()
    for number in range(3):
        world.opens(CARS, by=task(f"Task-{number}"))
        world.opens(AUDIT, by=task(f"Audit-{number}"))
    assert world.found(second_while_holding) == []


def test_a_loop_that_opens_at_one_line_is_a_leak_and_no_nesting() -> None:
    """One line has no order with itself; left-open and growing say it."""
    assert nested(3, CARS, CARS).found(second_while_holding) == []


def chain(*lines: str) -> Origin:
    """Give an origin of these frames, innermost first; equal functions are one code object."""
    return tuple(part for line in lines for part in _frame(*line.split()))


@functools.cache
def _code(function: str, *, generator: bool) -> CodeType:
    body = "yield" if generator else "pass"
    names: dict[str, Any] = {}
    exec(compile(f"def {function}(): {body}", "/srv/shop/app.py", "exec"), names)  # noqa: S102
    found: CodeType = names[function].__code__
    return found


def _frame(place: str, function: str) -> tuple[CodeType, int]:
    return _code(function.rstrip("*"), generator=function.endswith("*")), -int(place)


@pytest.mark.parametrize(
    ("held", "asked", "parts"),
    [
        (("5 walk", "9 main"), ("5 walk", "7 walk", "9 main"), (5, 7)),
        (("5 session*", "8 create", "9 main"), ("5 session*", "3 get", "6 create", "9 main"), (8, 6)),
        (("5 charge", "8 main"), ("5 charge", "8 main"), None),
        (("5 charge", "8 main"), ("5 charge", "9 main"), None),
        (("5 session*", "3 get", "8 main"), ("5 session*", "3 get", "9 main"), None),
        (("5 walk", "9 main", "1 run"), ("5 walk", "7 walk", "9 main"), (5, 7)),
        (("5 walk", "7 walk", "9 main"), ("5 walk", "6 walk", "9 main"), None),
    ],
    ids=["recursion", "a generator's caller", "a loop", "two calls", "a caller that returned", "a deep stack", "again"],
)
def test_one_line_nests_where_the_outer_call_is_still_on_the_stack(
    held: tuple[str, ...], asked: tuple[str, ...], parts: tuple[int, int] | None
) -> None:
    """Else what the first call took was left open, and no size of a pool is safe."""
    world = World()
    pool = world.pool(most=2)
    for origin in (chain(*held), chain(*asked)):
        world.opens(kind="checkout", pool=pool, origin=origin)
    found = world.found(second_while_holding)
    if parts is None:
        assert found == []
        return
    ((why, *_),) = [one.why for one in found]
    assert [int(one) for one in re.findall(r"app\.py:(\d+)", why)] == list(parts)


def test_two_calls_on_one_line_have_no_lines_at_which_they_part() -> None:
    """`with pool.connection() as first, pool.connection() as second:`, in a helper of the program's own."""
    world = World()
    pool = world.pool(most=2)
    names: dict[str, Any] = {}
    exec(compile("def both(): first(), second()", "/srv/shop/app.py", "exec"), names)  # noqa: S102
    code = names["both"].__code__
    calls = [one.offset for one in dis.get_instructions(code) if one.opname.startswith("CALL")]
    for call in (calls[0], calls[-1]):
        world.opens(kind="checkout", pool=pool, origin=(*_frame("5", "session*"), code, call))
    (found,) = world.found(second_while_holding)
    assert found.why[0] == "Both were taken at the same line, one after the other."


@pytest.mark.parametrize(
    ("asks_at", "since", "count"),
    [
        ("9 worker", "", 0),
        ("8 worker", "", 0),
        ("9 worker", "closed", 1),
        ("9 worker", "used", 1),
        ("10 worker", "", 1),
    ],
)
@pytest.mark.parametrize("lent", [True, False])
def test_what_an_earlier_job_of_the_thread_left_open_does_not_nest(
    asks_at: str, since: str, count: int, *, lent: bool
) -> None:
    """A worker, `for job in iter(queue.get, None): job()`: unless it uses the first handle still, or gives it back."""
    world = World()
    pool = world.pool()
    worker = thread("worker", REPORT)
    outer = world.opens(by=worker, kind="checkout", pool=pool, origin=chain("5 leaks", "9 worker", "1 run"))
    world.clock.advance(1)
    asked = chain("7 good", asks_at, "1 run")
    if lent:
        world.opens(by=worker, kind="checkout", pool=pool, origin=asked)
    else:
        world.requests.append(Request(pool, worker, asked, world.clock()))
    world.clock.advance(1)
    if since == "used":
        outer.used_at = world.clock()
    elif since == "closed":
        world.closes(outer)
    assert len(world.found(second_while_holding)) == count


def test_a_request_that_waits_or_was_refused_nests_too() -> None:
    """Once: its loan, if it comes, is the same nesting."""
    world = World()
    ledger = Ledger(clock=world.clock, owner=lambda: world.main, origin=lambda _, __: at(AUDIT))
    pool = world.pool(most=1)
    world.opens(CARS, kind="checkout", pool=pool)
    waiting = ledger.asks(pool, None)
    world.requests.append(waiting)
    (found,) = world.found(second_while_holding)
    assert (found.severity, found.count, found.opened.function) == ("warning", 1, "write")
    assert "%s for one more, in vain, while" in found.phrase
    assert found.also.site.frame.function == "load_cars"
    assert world.found(second_while_holding) == []
    waiting.database = SHOP
    ledger.lent(waiting, None)
    world.open.append(waiting)
    assert world.found(second_while_holding) == []


def test_a_request_of_somebody_who_holds_nothing_does_not_nest() -> None:
    """Nor of one who held it before, or takes it later."""
    world = World()
    pool = world.pool(most=1)
    world.closes(world.opens(CARS, kind="checkout", pool=pool))
    world.clock.advance(1)
    world.opens(USERS, by=thread("Thread-1", REPORT), kind="checkout", pool=pool)
    world.refuses(pool=pool).requests.append(Request(None, world.main, at(AUDIT), world.clock()))
    assert world.found(second_while_holding) == []


@pytest.mark.parametrize(("lends", "severity"), [(7, "warning"), (8, "info"), (None, "info")])
def test_a_pool_with_room_is_far_from_starving(lends: int | None, severity: str) -> None:
    """From four times what the owners met so far need; what it lends is said."""
    world = World()
    pool = world.pool(most=lends)
    for line in (CARS, AUDIT):
        world.opens(line, kind="checkout", pool=pool)
    (found,) = world.found(second_while_holding)
    assert found.severity == severity
    assert found.why[0] == (f"The pool lends at most {lends}." if lends else "The pool has no limit of its own.")


def test_a_nesting_is_said_once() -> None:
    """Its inner handle bears the mark."""
    world = nested(2, CARS, AUDIT)
    for handle in world.open:
        handle.told |= BITS["second-while-holding"]
    assert world.found(second_while_holding) == []


def test_a_pair_of_lines_costs_the_same_however_many_are_held() -> None:
    """A program that leaves one open at each of its lines has thousands of pairs, and none of them is over."""
    world, calls = World(), [0]
    for number in range(2 * MANY):
        world.opens(f"/srv/shop/leaks.py:{number} leak{number}")

    def profile(frame: FrameType, event: str, _: object) -> None:
        calls[0] += event == "call" and frame.f_code.co_filename == nesting.__file__

    sys.setprofile(profile)
    try:
        pairs = world.look().nestings
    finally:
        sys.setprofile(None)
    assert len(pairs) > 5 * MANY
    assert calls[0] < 20 * len(pairs)


def test_shared_at_once_shows_both_sides() -> None:
    """Two owners, the stack of the one inside and of the one who came in."""
    world = World()
    handle = world.opens(by=thread("Thread-1", REPORT))
    handle.shared = Sharing(
        {1, 2}, at("/srv/shop/a.py:1 inside"), at("/srv/shop/b.py:2 came"), thread("Thread-2"), "Thread-1"
    )
    world.shared.append(handle)
    (found,) = world.found(shared_at_once)
    assert (found.severity, found.count, found.opened.function) == ("warning", 2, "load_cars")
    assert [(name, origin[0].co_name) for name, origin in found.stacks] == [
        ("first, inside a call: Thread-1", "inside"),
        ("second, in another call: Thread-2", "came"),
    ]
    assert world.found(shared_at_once) == []


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("sqlite3", "they share one transaction"),
        ("psycopg2", "they share one transaction"),
        ("psycopg", "they share one transaction"),
        ("asyncpg", "another operation is in progress"),
        ("pymysql", "get mixed up"),
        ("pg8000", "get mixed up"),
    ],
)
def test_what_a_driver_makes_of_two_callers_at_once(driver: str, words: str) -> None:
    """Some let one wait for the other, and no sentence names a library that is not there."""
    world = World()
    handle = world.opens(driver=driver)
    handle.shared = Sharing({1, 2}, at("/srv/shop/a.py:1 inside"), at("/srv/shop/b.py:2 came"), None, "Thread-1")
    world.shared.append(handle)
    (found,) = world.found(shared_at_once)
    assert words in found.why[1]
    assert "libpq" not in found.why[1]


def test_shared_across_fork_names_where_it_was_opened_and_where_used() -> None:
    """An error, one in each process."""
    world = World()
    handle = world.opens()
    world.inherited.append((handle, world.main, at("/srv/shop/worker.py:8 serve")))
    (found,) = world.found(shared_across_fork)
    assert (found.severity, found.count, found.opened.function) == ("error", 1, "load_cars")
    assert (found.also.what, found.also.site.frame.function) == ("used", "serve")
    assert world.found(shared_across_fork) == []


def test_an_engine_has_its_own_word_for_a_fork() -> None:
    """SQLAlchemy's documentation: the child leaves the connections to the parent, and closes none of them."""
    world = World()
    pool, program = ("/srv/site-packages/sqlalchemy/pool/base.py", 9, "_do_get"), ("/srv/shop/cars.py", 42, "load_cars")
    handle = world.opens()
    handle.origin = from_lines([pool, program])
    world.inherited.append((handle, world.main, at("/srv/shop/worker.py:8 serve")))
    (found,) = world.found(shared_across_fork)
    assert "In the child, call `engine.dispose(close=False)` before the engine is used" in found.advice[0]


def test_an_inherited_connection_that_no_look_has_seen_has_its_line() -> None:
    """Forked before the parent's first look, and no entry of the child's own ledger: the report names it all the same."""
    world = World()
    handle = world.opens()
    world.open.remove(handle)
    world.inherited.append((handle, world.main, at("/srv/shop/worker.py:8 serve")))
    (found,) = world.found(shared_across_fork)
    assert handle.site is None
    assert re.search(r"^ +1  opened +\S+cars.py:42 in load_cars", text(found), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "count"), [(":memory:", 0), ("memorydb_default", 0), (":temporary:", 1), ("/srv/shop/shop.db", 1)]
)
def test_a_database_in_memory_is_copied_by_a_fork(name: str, count: int) -> None:
    """What a parallel test runner counts on: no socket, no file, nothing that both write to."""
    world = World()
    handle = world.opens(to=database("sqlite", name=name))
    world.inherited.append((handle, world.main, at("/srv/shop/worker.py:8 serve")))
    assert len(world.found(shared_across_fork)) == count
