"""too-many-at-once on worlds written by hand; the peak exact, from stamps."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, FILE, REPORT, SHOP, STOCK, USERS, World, at, crowd, job, said, task, thread
from whoholds.analysis.history import MANY
from whoholds.analysis.rules import BITS
from whoholds.detectors.too_many import too_many_at_once
from whoholds.ledger import database as databases
from whoholds.ledger.database import Database, database
from whoholds.ledger.owner import Spawn
from whoholds.reporting.first_line import message

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding
    from whoholds.ledger.handle import Handle

# --- the limit --------------------------------------------------------------------------------------------------


def test_too_many_from_the_limit_on() -> None:
    """At WHOHOLDS_TOO_MANY, 20, and not below."""
    assert crowd(19).found(too_many_at_once) == []
    assert said(crowd(20).found(too_many_at_once)) == [("warning", 20)]


def test_the_composition_adds_up_to_the_peak() -> None:
    """Largest part first, each with its opening line, spawn line and owners."""
    world = crowd(21)
    for number in range(4):
        world.opens(USERS, by=task(f"Task-{number}"))
    world.opens(USERS)
    (found,) = world.found(too_many_at_once)
    assert found.count == sum(part.count for part in found.parts) == 26
    described = [
        (part.count, part.site.frame.function, part.spawned.frame.function if part.spawned else None)
        for part in found.parts
    ]
    assert described == [(21, "load_cars", "build"), (4, "load_users", "build"), (1, "load_users", None)]
    assert found.site is found.parts[0].site
    assert found.parts[0].owners[:2] == ("Thread-0", "Thread-1")
    assert len(found.parts[0].owners) == 21


def test_the_peak_is_one_databases() -> None:
    """Ten to each of two are no crowd."""
    world = crowd(10)
    for _ in range(10):
        world.opens(to=STOCK)
    assert world.found(too_many_at_once) == []


def test_private_databases_have_no_crowd() -> None:
    """Each sqlite3 `:memory:` connection is a database of its own."""
    world = World()
    for _ in range(40):
        world.opens(to=Database("sqlite", name=":memory:", private=True))
    assert world.found(too_many_at_once) == []


def test_cursors_and_loans_are_not_connections() -> None:
    """A loan stands on a connection that is counted already."""
    world = World()
    for _ in range(20):
        world.opens(kind="cursor")
        world.opens(kind="checkout")
    assert world.found(too_many_at_once) == []


def test_a_bounded_pool_at_its_size_is_meant() -> None:
    """Its size was chosen by somebody; a pool without a bound is judged."""
    for most, expected in ((30, []), (None, [("warning", 30)])):
        world = World()
        pool = world.pool(most=most)
        for _ in range(30):
            world.opens("/srv/shop/db.py:3 make", pool=pool)
        assert said(world.found(too_many_at_once)) == expected


def test_the_limit_differs_by_opening_line() -> None:
    """The line of the largest part decides."""
    assert crowd(25, too_many="20,40@shop/cars.py").found(too_many_at_once) == []
    assert said(crowd(6, too_many="20,5@shop/cars.py").found(too_many_at_once)) == [("warning", 6)]


@pytest.mark.parametrize(("allowed", "severity"), [(25, "error"), (26, "warning"), (100, "warning")])
def test_it_is_an_error_from_80_percent_of_what_the_server_allows(allowed: int, severity: str) -> None:
    """Twenty of 25 are 80 %."""
    (found,) = crowd(20, server_limit=allowed).found(too_many_at_once)
    assert (found.severity, found.why[0]) == (severity, f"The server allows {allowed}.")


def test_it_says_whether_the_fan_out_is_bounded() -> None:
    """An executor of N workers is; a thread or a task per item is not."""
    world = World()
    for number in range(20):
        world.opens(by=job(thread(f"worker-{number}", worker=True), width=20))
    (found,) = world.found(too_many_at_once)
    assert "The executor's 20 workers limit the number" in found.why[0]
    assert "Lower max_workers" in found.advice[0]
    (found,) = crowd(20).found(too_many_at_once)
    assert found.why == ()
    assert found.advice[0].startswith("The program starts a thread for each item")
    world = World()
    for number in range(20):
        world.opens(by=task(f"Task-{number}"))
    (found,) = world.found(too_many_at_once)
    assert found.advice[0].startswith("The program starts a task for each item")
    assert "Semaphore" in found.advice[0]


@pytest.mark.parametrize(
    ("owners", "each", "advice"),
    [
        (1, 24, "One line opens them all: close each before the next is opened, or share one connection, or a pool."),
        (4, 6, "4 tasks opened these 24: close each before its task opens the next, or share a pool."),
    ],
    ids=["one task", "a few tasks"],
)
@pytest.mark.parametrize("spawned", [REPORT, "/lib/python3/site-packages/scrapy/asyncio.py:140 start"])
def test_a_few_tasks_that_open_many_each_are_not_too_many_tasks(
    owners: int, each: int, advice: str, spawned: str
) -> None:
    """A limit on the tasks would leave what each opens; that a library started them makes no difference."""
    assert tasks_that_open(owners, each, spawned).advice == (advice,)


def test_many_tasks_that_open_two_each_are_to_be_limited_too() -> None:
    """Nothing tells whether there is a task for each item; where a library starts them, the program cannot limit them."""
    assert tasks_that_open(12, 2, REPORT).advice[0].endswith("Limit the tasks, too (asyncio.Semaphore(…)).")
    library = "/lib/python3/site-packages/uvicorn/h11_impl.py:258 handle_events"
    assert "A library starts these requests" in tasks_that_open(12, 2, library).advice[0]


def tasks_that_open(owners: int, each: int, spawned: str) -> Finding:
    """Give the finding of so many tasks that open so many connections each."""
    world = World()
    for number in range(owners):
        by = task(f"Task-{number}", spawned)
        for _ in range(each):
            world.opens(by=by)
    (found,) = world.found(too_many_at_once)
    return found


@pytest.mark.parametrize(("to", "small"), [(SHOP, "smaller than the server's limit"), (FILE, "of a few")])
def test_a_file_has_no_servers_limit(to: Database, small: str) -> None:
    """Where a library starts what connects, a pool is advised, and how small."""
    world = World()
    for number in range(20):
        started = task(f"Task-{number}", "/lib/python3/site-packages/uvicorn/h11_impl.py:258 handle_events")
        world.opens(by=started, to=to)
    (found,) = world.found(too_many_at_once)
    assert found.advice[0].endswith(f"Let them take connections from a pool {small}.")


def test_the_same_peak_is_no_new_high() -> None:
    """Found when it is reached, and not at each look while it lasts."""
    world = crowd(20)
    assert world.found(too_many_at_once)
    world.clock.advance(1)
    assert world.found(too_many_at_once) == []


def test_80_percent_of_what_the_server_allows_is_too_many_too() -> None:
    """Twelve of fourteen, long before WHOHOLDS_TOO_MANY; eleven are not, and one alone never is."""
    assert said(crowd(12, server_limit=14).found(too_many_at_once)) == [("error", 12)]
    assert crowd(11, server_limit=14).found(too_many_at_once) == []
    assert crowd(1, server_limit=1).found(too_many_at_once) == []


@pytest.mark.parametrize(
    ("workers", "width", "each", "why", "advice"),
    [
        (
            ["ThreadPoolExecutor-0_0", "ThreadPoolExecutor-0_1"],
            2,
            10,
            "do not limit the number: 2 of them hold 20",
            "at the end of each job",
        ),
        (
            [f"ThreadPoolExecutor-{number}_0" for number in range(20)],
            1,
            1,
            "at least 20 executors, of 1 worker each",
            "one executor",
        ),
        ([f"mine_{number}" for number in range(20)], 4, 1, "at least 5 executors, of 4 workers each", "one executor"),
        (
            [f"ThreadPoolExecutor-0_{number}" for number in range(20)],
            20,
            1,
            "20 workers limit the number: 20 of",
            "max_workers",
        ),
    ],
    ids=["jobs that keep theirs", "an executor per item", "executors of one name", "bounded"],
)
def test_an_executor_bounds_only_what_its_workers_hold(
    workers: list[str], width: int, each: int, why: str, advice: str
) -> None:
    """More than its workers hold, or the workers of more executors than one: then lowering max_workers is no advice."""
    world = World()
    for name in workers:
        worker = thread(name, worker=True)
        for _ in range(each):
            world.opens(by=job(worker, width=width))
    (found,) = world.found(too_many_at_once)
    assert why in found.why[0]
    assert advice in found.advice[0]


def test_one_place_is_said_of_one_place() -> None:
    """Three lines that open eight each are three."""
    world = World()
    for line in (CARS, USERS, "/srv/shop/audit.py:5 write"):
        for _ in range(8):
            world.opens(line)
    (found,) = world.found(too_many_at_once)
    assert (found.count, len(found.parts)) == (24, 3)
    assert "One place" not in found.advice[0]
    world = World()
    for _ in range(24):
        world.opens()
    (found,) = world.found(too_many_at_once)
    assert found.advice[0].startswith("One line opens them all")


def test_greenlets_are_bounded_by_their_own_pool() -> None:
    """A thread pool would be no bound of theirs."""
    world = World()
    for number in range(20):
        owner = task(f"Greenlet-{number}")
        owner.kind = "greenlet"
        world.opens(by=owner)
    (found,) = world.found(too_many_at_once)
    assert "starts a greenlet for each item" in found.advice[0]
    assert "gevent.pool.Pool(" in found.advice[0]


@pytest.mark.parametrize(("pools", "expected"), [(4, []), (5, [("warning", 20)])])
def test_the_pools_that_one_line_makes_again_and_again_are_a_crowd(pools: int, expected: list[tuple[str, int]]) -> None:
    """Their sizes bound nothing: what they have at home counts, and the line that makes them is named."""
    world = World()
    for _ in range(pools):
        pool = world.pool("/srv/shop/db.py:3 make")
        for _ in range(20 // pools):
            world.opens(pool=pool, at_home=True)
    found = world.found(too_many_at_once)
    assert said(found) == expected
    for one in found:
        assert (one.opened.function, message(one).count("made 5 pools with 20 connections open")) == (
            "make",
            1,
        )
        assert one.advice[0].startswith("Create one pool")


def test_five_pools_of_five_lines_are_what_somebody_chose() -> None:
    """Each has its size."""
    world = World()
    for number in range(5):
        pool = world.pool(f"/srv/shop/db.py:{number} make")
        for _ in range(5):
            world.opens(pool=pool, at_home=True)
    assert world.found(too_many_at_once) == []


@pytest.mark.parametrize(("keeps", "expected"), [(22, []), (21, [("warning", 22)]), (2, [("warning", 22)])])
def test_what_an_unbounded_pool_keeps_by_its_settings_is_meant(keeps: int, expected: list[tuple[str, int]]) -> None:
    """Once it has more, all that it has counts."""
    world = World()
    pool = world.pool(most=None)
    pool.idle_min = keeps
    for _ in range(22):
        world.opens(pool=pool, at_home=True)
    assert said(world.found(too_many_at_once)) == expected


# --- the habit --------------------------------------------------------------------------------------------------


def habit_of(count: int, looks: int) -> World:
    """Give a world that had `count` open at each of so many looks, one of them opened anew before each."""
    world = crowd(count)
    for _ in range(looks):
        world.closes(world.open[-1])
        world.opens(by=thread("Thread-0", REPORT))
        world.after(1)
    return world


@pytest.mark.parametrize(("usual", "now", "expected"), [(2, 8, True), (2, 7, False), (3, 9, True), (3, 8, False)])
def test_a_high_far_above_the_habit_is_a_spike_although_below_the_limit(usual: int, now: int, expected: bool) -> None:
    """Three times the habit, and eight at least; the number that it is compared with is the one that is said."""
    world = habit_of(usual, 30)
    for _ in range(now - usual):
        world.opens(USERS)
    found = world.found(too_many_at_once)
    assert [one.count for one in found] == ([now] if expected else [])
    if found:
        assert f"This program usually has {usual} open at once." in found[0].why


def test_the_habit_that_is_said_is_the_one_that_was_compared() -> None:
    """The last two looks are no habit yet, however high they were."""
    world = habit_of(2, 30)
    for _ in range(2):
        world.opens(USERS)
        world.opens(USERS)
        world.after(1)
    for _ in range(6):
        world.opens(USERS)
    (found,) = world.found(too_many_at_once)
    assert (found.count, found.why) == (12, ("This program usually has 2 open at once.",))


def test_a_program_that_starts_has_no_habit() -> None:
    """Thirty looks at least: nothing is usual before."""
    world = habit_of(2, 29)
    for _ in range(10):
        world.opens(USERS)
    assert world.found(too_many_at_once) == []


def test_a_slow_climb_to_a_steady_level_is_no_spike() -> None:
    """Each step is near the habit of its time."""
    world = habit_of(2, 30)
    for _ in range(16):
        world.opens(USERS)
        assert world.found(too_many_at_once) == []
        world.after(2)


def test_looks_at_which_nothing_is_opened_teach_no_habit() -> None:
    """A server that waits for its first requests holds one connection for an hour."""
    world = crowd(1).after(3600)
    for _ in range(12):
        world.opens(USERS)
    assert world.found(too_many_at_once) == []


def test_the_only_connection_of_each_worker_is_no_spike() -> None:
    """Its executor limits them, whether the worker keeps it or closes it with its job."""
    for closes in (False, True):
        world = habit_of(1, 30)
        workers = [thread(f"ThreadPoolExecutor-0_{number}", worker=True) for number in range(12)]
        kept = [world.opens(USERS, by=job(worker, width=12)) for worker in workers]
        if closes:
            world.closes(*kept)
        for _ in range(4):
            assert world.found(too_many_at_once) == []


def test_two_connections_of_each_worker_are_a_spike() -> None:
    """The executor does not limit these."""
    world = habit_of(1, 30)
    workers = [thread(f"ThreadPoolExecutor-0_{number}", worker=True) for number in range(6)]
    for worker in workers * 2:
        world.opens(USERS, by=job(worker, width=6))
    assert said(world.found(too_many_at_once)) == [("warning", 13)]


def test_requests_are_no_spike() -> None:
    """How many arrive at once is the load, also if the program itself has started the server."""
    world = habit_of(1, 30)
    for number in range(12):
        owner = task(f"Task-{number}")
        owner.spawn = Spawn(at("/venv/site-packages/uvicorn/protocols/http/h11_impl.py:258 handle_events"), None)
        world.opens(USERS, by=owner)
    assert world.found(too_many_at_once) == []


@pytest.mark.parametrize("closes", [False, True])
def test_threads_that_each_keep_one_are_no_spike_and_those_that_close_it_are(closes: bool) -> None:
    """While they are open nobody can tell; so a spike of threads is told up to two looks late, and once."""
    world = habit_of(1, 30)
    opened = [world.opens(USERS, by=thread(f"Thread-{number}", REPORT)) for number in range(12)]
    assert world.found(too_many_at_once) == []
    if closes:
        world.closes(*opened)
        (found,) = world.found(too_many_at_once)
        assert (found.severity, found.count) == ("warning", 13)
        for handle in found.handles:
            handle.told |= BITS["too-many-at-once"]
    for _ in range(3):
        assert world.found(too_many_at_once) == []
    world.closes(*world.open)
    assert world.found(too_many_at_once) == []


# --- the exact peak ---------------------------------------------------------------------------------------------


def test_a_peak_between_two_looks_is_found_from_the_stamps() -> None:
    """All of them had closed before anybody looked; the clock stood still all the while."""
    world = World()
    world.look()
    burst = [world.opens() for _ in range(22)]
    world.closes(*burst)
    assert said(world.found(too_many_at_once)) == [("warning", 22)]


def test_one_after_the_other_is_never_more_than_one() -> None:
    """A hundred in one tick, each closed before the next."""
    world = World()
    for _ in range(100):
        world.closes(world.opens())
    world.look()
    assert world.history.trends[SHOP].highest.count == 1


def test_the_peak_counts_those_that_were_open_then_and_no_others() -> None:
    """Three waves between two looks: the second is the highest, and its handles are the composition."""
    world = World()
    old = [world.opens(USERS) for _ in range(3)]
    world.look()
    world.closes(*[world.opens() for _ in range(10)])
    second = [world.opens() for _ in range(19)]
    world.closes(old[0], *second)
    world.closes(*[world.opens() for _ in range(12)])
    (found,) = world.found(too_many_at_once)
    assert found.count == 22
    assert set(found.handles) == {*old, *second}


def test_a_peak_at_every_interleaving_is_what_a_simulation_says() -> None:
    """Opened and closed in an order drawn from a fixed seed, looked at every seven steps."""
    import random

    draw = random.Random(7)
    for _ in range(30):
        world = World(too_many=1)
        live: list[Handle] = []
        highest = 0
        for step in range(80):
            if live and draw.random() < 0.45:
                world.closes(live.pop(draw.randrange(len(live))))
            else:
                live.append(world.opens())
            highest = max(highest, len(live))
            if step % 7 == 0:
                world.look()
        world.look()
        peak = world.history.trends[SHOP].highest
        assert (peak.count, len(peak.handles)) == (highest, highest)


def test_a_handle_that_reached_the_ledger_late_counts_at_its_stamp() -> None:
    """Its thread was switched away between stamp and registration, and a look came between: all add up still."""
    world = World(too_many=3)
    early = next(world.stamps)
    for _ in range(2):
        world.opens(USERS)
    assert world.found(too_many_at_once) == []
    late = world.opens(CARS)
    late.opened_stamp = early
    (found,) = world.found(too_many_at_once)
    assert found.count == len(found.handles) == sum(part.count for part in found.parts) == 3


def test_ends_that_were_dropped_leave_the_rest_right() -> None:
    """Of a thousand that opened and closed the ledger kept the last ten ends: the peak is of those it knows."""
    world = World()
    held = [world.opens() for _ in range(2)]
    world.look()
    for _ in range(1000):
        world.closes(world.opens())
    del world.ended[:-10]
    world.look()
    peak = world.history.trends[SHOP].highest
    assert (peak.count, set(peak.handles) >= set(held)) == (3, True)


def test_what_ended_unseen_before_is_not_below_nothing() -> None:
    """The end of a handle that was open at the last look was dropped: the next peak is still what is open."""
    world = World()
    gone = world.opens()
    world.look()
    world.closes(gone)
    world.ended.clear()
    for _ in range(4):
        world.opens()
    world.look()
    assert world.history.trends[SHOP].highest.count == 4


def test_looks_that_brought_nothing_keep_the_numbers() -> None:
    """What is open stays the latest peak, a dropped end lowers it, and a pool's new bound is seen at the next look."""
    world = World()
    world.opens()
    world.opens(pool=(pool := world.pool()))
    trend = world.look().history.trends[SHOP]
    counts = []
    for change in (None, None, lambda: setattr(pool, "max", None), None, world.open.pop, None):
        if change is not None:
            change()
        world.look()
        counts.append((trend.latest.count, trend.latest.grew, trend.open))
    assert counts == [(1, False, 1)] * 2 + [(2, False, 2)] * 2 + [(1, False, 1)] * 2
    world.closes(*world.open)
    world.look()
    assert (trend.latest.count, trend.open) == (1, 0)
    world.look()
    assert (trend.latest.count, trend.open) == (0, 0)


def test_a_program_with_a_database_per_customer_is_remembered_within_bounds() -> None:
    """Files by the thousand, each open for a moment; the highest peak of all is still known."""
    world = World()
    world.closes(*[world.opens() for _ in range(2)])
    for number in range(3 * MANY):
        world.closes(world.opens(to=database("sqlite", name=f"customer-{number}.db")))
        if number % 50 == 0:
            world.clock.advance(30)
            world.look()
    assert len(world.history.trends) <= MANY + 200
    assert world.history.trends[SHOP].highest.count == 2


def test_after_thousands_of_databases_the_next_is_still_one() -> None:
    """A database is the same one for as long as anybody has it, and forgotten with its last handle."""
    world = World()
    for number in range(3000):
        world.closes(world.opens(to=database("sqlite", name=f"customer-{number}.db")))
    crowd = [world.opens(to=database("postgresql", host="db", name="late")) for _ in range(20)]
    (finding,) = world.found(too_many_at_once)
    assert finding.count == 20
    assert len({id(handle.database) for handle in crowd}) == 1


def test_a_database_that_nobody_has_is_forgotten() -> None:
    """A file for every request leaves nothing behind in the process."""
    before = len(databases._databases)
    kept = [database("sqlite", name=f"request-{number}.db") for number in range(50)]
    assert len(databases._databases) == before + 50
    del kept
    assert len(databases._databases) == before


def test_stamps_are_unique_so_that_openings_and_closings_have_an_order() -> None:
    """The builder's own promise, which the peak stands on."""
    world = World()
    handles = [world.opens() for _ in range(3)]
    world.closes(*handles)
    stamps = list(itertools.chain.from_iterable((one.opened_stamp, one.closed_stamp) for one in handles))
    assert len(set(stamps)) == 6
