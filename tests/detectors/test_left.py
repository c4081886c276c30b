"""left-open, collected-open, owner-gone and given-back on worlds written by hand: both sides of each row."""

from __future__ import annotations

import asyncio

import pytest

from tests.worlds import AT_EXIT, CARS, REPORT, SHOP, STOCK, USERS, World, at, ends, job, said, task, thread
from whoholds.analysis.blame import never_blame
from whoholds.analysis.rules import BITS
from whoholds.analysis.snapshot import Ending
from whoholds.detectors.left import collected_open, given_back, left_open, owner_gone
from whoholds.ledger.database import Database
from whoholds.ledger.entries import ORPHANED
from whoholds.ledger.handle import CLOSED, COLLECTED, CURSOR, FREED, OVER
from whoholds.ledger.origin import from_lines
from whoholds.reporting.first_line import message, reason
from whoholds.scopes import Scope

# --- left-open --------------------------------------------------------------------------------------------------


def test_nothing_is_left_open_while_the_process_runs() -> None:
    """A look in between accuses nobody of what is open."""
    world = World()
    world.opens()
    world.opens()
    assert world.found(left_open) == []


def test_the_only_handle_of_its_line_is_info_at_the_end() -> None:
    """A process's singleton is no leak."""
    world = World()
    world.opens()
    assert said(world.found(left_open, AT_EXIT)) == [("info", 1)]


def test_two_lines_with_one_handle_each_are_two_singletons() -> None:
    """What counts is how many the line opened, not how many are open."""
    world = World()
    world.opens(CARS)
    world.opens(USERS)
    assert said(world.found(left_open, AT_EXIT)) == [("info", 1), ("info", 1)]


def test_two_of_one_line_are_an_error_with_one_count() -> None:
    """The same line opening two that are never closed is a leak, said once."""
    world = World()
    world.opens()
    world.opens()
    (found,) = world.found(left_open, AT_EXIT)
    assert (found.severity, found.count, found.database) == ("error", 2, SHOP)
    assert found.opened is not None
    assert (found.opened.file, found.opened.line, found.opened.function) == (
        "/srv/shop/cars.py",
        42,
        "load_cars",
    )


def test_what_was_made_anew_after_a_close_is_info_at_the_end() -> None:
    """A global that broke and was opened again: never were two of its chain open at once."""
    world = World()
    for _ in range(3):
        world.closes(world.opens())
    world.opens()
    assert said(world.found(left_open, AT_EXIT)) == [("info", 1)]


def test_two_that_were_open_at_once_make_the_last_of_them_a_leak() -> None:
    """One of the two was closed since; the chain opens more than it needs."""
    world = World()
    first, _ = world.opens(), world.opens()
    world.look()
    world.closes(first)
    assert said(world.found(left_open, AT_EXIT)) == [("error", 1)]


def test_a_name_that_was_bound_anew_is_info_at_the_end() -> None:
    """The connection that it was bound to before was freed a moment after the new one was opened."""
    world = World()
    first, _ = world.opens(), world.opens()
    world.look()
    world.closes(first, how=COLLECTED)
    assert said(world.found(left_open, AT_EXIT)) == [("info", 1)]


def test_a_helper_that_is_called_from_two_places_is_two_chains() -> None:
    """The reader's connection and the writer's, by one line in one function."""
    world = World()
    for caller in ("/srv/shop/app.py:3 reader", "/srv/shop/app.py:4 writer"):
        world.opens(origin=at(CARS) + at(caller))
    assert said(world.found(left_open, AT_EXIT)) == [("info", 2)]


@pytest.mark.parametrize(("databases", "expected"), [(2, [("info", 2)]), (3, [("error", 3)])])
def test_one_chain_may_keep_a_connection_to_each_of_two_databases(
    databases: int, expected: list[tuple[str, int]]
) -> None:
    """More are a loop over databases that keeps what it takes."""
    world = World()
    for number in range(databases):
        world.opens(to=Database("sqlite", name=f"shard{number}.db"))
    assert said(world.found(left_open, AT_EXIT)) == expected


def test_private_databases_of_one_chain_are_one_database() -> None:
    """Each `:memory:` connection has a database of its own; three of one line are three of one kind."""
    world = World()
    for _ in range(3):
        world.opens(to=Database("sqlite", name=":memory:", private=True))
    assert said(world.found(left_open, AT_EXIT)) == [("error", 3)]


def test_a_loan_is_standing_only_where_its_chain_borrowed_no_other() -> None:
    """Who borrows gives back, also the last one."""
    world = World()
    pool = world.pool()
    world.closes(world.opens(kind="checkout", pool=pool))
    world.opens(kind="checkout", pool=pool)
    assert said(world.found(left_open, AT_EXIT)) == [("error", 1)]


def test_a_loan_in_each_thread_of_one_chain_is_not_standing() -> None:
    """The jobs of an executor that keep what they borrow, one in each worker. Connections are."""
    for kind, severity in (("checkout", "error"), ("connection", "info")):
        world = World()
        pool = world.pool() if kind == "checkout" else None
        for number in range(3):
            world.opens(by=thread(f"worker-{number}", REPORT, worker=True), kind=kind, pool=pool)
        assert said(world.found(left_open, AT_EXIT)) == [(severity, 3)]


def test_one_in_each_live_thread_is_info() -> None:
    """A connection per thread, in threads that all live, is kept on purpose."""
    world = World()
    for number in range(3):
        world.opens(by=thread(f"Thread-{number}", REPORT))
    assert said(world.found(left_open, AT_EXIT)) == [("info", 3)]


def test_what_a_thread_left_that_ended_while_the_process_ran_is_an_error() -> None:
    """A dead thread keeps nothing for its next request; what a live one keeps is no leak."""
    world = World()
    dead = thread("Thread-1", REPORT)
    world.opens(by=dead)
    world.opens(by=thread("Thread-2", "/srv/shop/nightly.py:3 start"))
    ends(dead)
    world.look()
    assert said(world.found(left_open, AT_EXIT)) == [("info", 1), ("error", 1)]


def test_one_in_each_live_worker_is_no_keeping_if_one_of_them_has_two() -> None:
    """A line that keeps one for each thread opens no second where it has one: so all of them are left open."""
    world = World()
    workers = [thread(f"AnyIO worker thread {number}", REPORT, worker=True) for number in range(12)]
    for worker in (*workers, workers[0]):
        world.opens(by=worker)
    assert said(world.found(left_open, AT_EXIT)) == [("error", 13)]


def test_one_in_each_live_worker_is_kept_if_one_of_them_opened_it_anew() -> None:
    """The old one is garbage that the collector has not met yet, and then it is gone."""
    world = World()
    workers = [thread(f"AnyIO worker thread {number}", REPORT, worker=True) for number in range(3)]
    first, *_ = [world.opens(by=worker) for worker in (*workers, workers[0])]
    world.look()
    world.closes(first, how=COLLECTED)
    assert said(world.found(left_open, AT_EXIT)) == [("info", 3)]


def test_standing_handles_of_a_line_that_leaks_too_are_not_said() -> None:
    """A finding is told by its lines: the leak's count is that of the leak."""
    world = World()
    dead = thread("Thread-1", REPORT)
    world.opens(by=dead)
    world.opens(by=thread("Thread-2", REPORT))
    ends(dead)
    world.look()
    assert said(world.found(left_open, AT_EXIT)) == [("error", 1)]


@pytest.mark.parametrize(
    ("worker", "outlived", "statements", "expected"),
    [
        (True, False, (), "info"),  # an executor's
        (False, True, (), "info"),  # main had ended before it
        (False, False, ("SELECT 1", "SELECT 1"), "info"),  # it did the same work twice
        (False, False, ("SELECT 1", "SELECT 2"), "error"),  # a thread for each user
        (False, False, (), "error"),
    ],
)
def test_threads_that_were_joined_before_the_last_look(
    *, worker: bool, outlived: bool, statements: tuple[str, ...], expected: str
) -> None:
    """Worker threads kept what they opened until the end; a thread that did its one piece of work lost it."""
    world = World()
    threads = [thread(f"Thread-{number}", REPORT, worker=worker) for number in range(2)]
    for one in threads:
        one.outlived_main = outlived
        world.opens(by=one, ring=[(sql, float(at_), 0.1) for at_, sql in enumerate(statements)])
    world.look()
    world.history.standing.end(world.clock())
    for one in threads:
        ends(one)
    world.look()
    assert said(world.found(left_open, AT_EXIT)) == [(expected, 2)]


def test_two_in_one_thread_are_an_error() -> None:
    """One thread needs one connection: with two of one line it lost the first."""
    world = World()
    worker = thread("Thread-1", REPORT)
    world.opens(by=worker)
    world.opens(by=worker)
    assert said(world.found(left_open, AT_EXIT)) == [("error", 2)]


def test_jobs_of_one_worker_share_its_thread() -> None:
    """Two jobs in one worker opened two at one line: the thread is the same, so one of them is lost."""
    world = World()
    worker = thread("ThreadPoolExecutor-0_0", REPORT, worker=True)
    world.opens(by=job(worker))
    world.opens(by=job(worker))
    assert said(world.found(left_open, AT_EXIT)) == [("error", 2)]


def test_a_job_in_each_worker_is_one_in_each_live_thread() -> None:
    """An initializer's connection, one for each worker that lives, is kept on purpose."""
    world = World()
    for number in range(2):
        world.opens(by=job(thread(f"worker-{number}", REPORT, worker=True)))
    assert said(world.found(left_open, AT_EXIT)) == [("info", 2)]


def test_one_in_each_task_is_an_error() -> None:
    """Tasks end; they have no next request to keep a connection for."""
    world = World()
    world.opens(by=task("Task-1"))
    world.opens(by=task("Task-2"))
    assert said(world.found(left_open, AT_EXIT)) == [("error", 2)]


def test_the_end_of_a_watch_has_no_singletons() -> None:
    """Who ends a watch in code has closed what it opened, or leaks."""
    world = World()
    world.opens()
    assert said(world.found(left_open, Ending("watch"))) == [("error", 1)]


def test_a_scope_is_judged_for_what_was_opened_in_it() -> None:
    """The end of a request leaves alone what others hold."""
    world = World()
    request = Scope("GET /cars")
    world.opens(CARS, scope=request)
    world.opens(USERS, scope=Scope("GET /users"))
    world.opens(USERS)
    (found,) = world.found(left_open, Ending("scope", "GET /cars", request))
    assert (found.severity, found.count, found.opened.function) == ("error", 1, "load_cars")


def test_a_test_is_judged_for_the_scopes_entered_in_it() -> None:
    """A request made by a test belongs to that test."""
    world = World()
    test = Scope("test_cars", "test")
    world.opens(scope=Scope("GET /cars", outer=test))
    assert said(world.found(left_open, Ending("test", "test_cars", test))) == [("error", 1)]


@pytest.mark.parametrize("state", ["at home", "a pool's stock", "a cursor", "named before"])
def test_what_is_nobodys_to_give_back_is_not_left_open(state: str) -> None:
    """A pool's own, what a thread keeps at home, cursors, and what was said already."""
    world = World()
    for _ in range(2):
        handle = world.opens()
        if state == "at home":
            handle.at_home = True
        elif state == "a pool's stock":
            handle.pool = world.pool()
        elif state == "a cursor":
            handle.kind = CURSOR
        else:
            handle.told = BITS["left-open"]
    assert world.found(left_open, AT_EXIT) == []


def test_a_loan_that_is_out_is_left_open() -> None:
    """Not the pool's connection is judged, but who borrowed it."""
    world = World()
    pool = world.pool()
    stock = [world.opens("/srv/shop/db.py:3 make", pool=pool) for _ in range(2)]
    for connection in stock:
        world.opens(CARS, kind="checkout", pool=pool, parent=connection)
    (found,) = world.found(left_open, AT_EXIT)
    assert (found.severity, found.count, found.kind) == ("error", 2, "checkout")
    assert found.phrase.startswith("did not give back {n}")


def test_one_line_that_opens_two_databases_is_one_finding() -> None:
    """The first database is named, and how many others."""
    world = World()
    for to in (SHOP, STOCK):
        for _ in range(2):
            world.opens(to=to)
    (found,) = world.found(left_open, AT_EXIT)
    assert (found.database, found.count) == (SHOP, 4)
    assert message(found).endswith(", to app@127.0.0.1/shop and 1 other")


def test_two_spawn_lines_are_two_findings() -> None:
    """One opening line reached from two spawn lines has two culprits."""
    world = World()
    for spawned in (REPORT, "/srv/shop/nightly.py:3 start"):
        dead = thread("Thread-1", spawned)
        world.opens(by=dead)
        ends(dead)
    found = world.found(left_open, AT_EXIT)
    assert [one.spawned.frame.function for one in found] == ["build", "start"]


# --- collected-open ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "severity"), [(COLLECTED, "warning"), (FREED, "info")])
def test_freed_unclosed(how: str, severity: str) -> None:
    """The collector came late: a warning. The last reference went: the server had it back at once."""
    world = World()
    world.closes(world.opens(), how=how)
    assert said(world.found(collected_open)) == [(severity, 1)]


@pytest.mark.parametrize("how", [CLOSED, OVER, "thread ended"])
def test_what_was_closed_or_went_with_its_pool_or_thread_was_not_collected(how: str) -> None:
    """Only what nobody had closed is found."""
    world = World()
    world.closes(world.opens(), how=how)
    assert world.found(collected_open) == []


def test_a_cursor_that_is_freed_is_no_finding() -> None:
    """Client-side cursors hold nothing."""
    world = World()
    world.closes(world.opens(kind=CURSOR), how=COLLECTED)
    assert world.found(collected_open) == []


@pytest.mark.parametrize("kind", ["a plain thread", "an executor's worker", "a worker that tasks await"])
def test_a_threads_own_connection_goes_with_its_thread(kind: str) -> None:
    """The collector freed it when the thread was gone: it was never lost, whoever started the thread."""
    world = World()
    for number in range(2):
        owner = thread(f"Thread-{number}", REPORT)
        if kind == "an executor's worker":
            owner = job(owner)
        elif kind == "a worker that tasks await":
            owner = task("Task-1").inside(owner)
        world.closes(world.opens(by=owner), how=ORPHANED)
    assert world.found(collected_open) == []


def test_two_that_one_thread_dropped_are_found_though_it_is_gone() -> None:
    """A thread keeps one of its own; two of one chain were dropped, one after the other."""
    world = World()
    worker = thread("worker-0", REPORT, worker=True)
    world.closes(*(world.opens(by=job(worker)) for _ in range(2)), how=ORPHANED)
    assert said(world.found(collected_open)) == [("warning", 2)]


@pytest.mark.parametrize("takes_back", [True, False])
def test_a_connection_that_went_with_its_loan_is_counted_once(*, takes_back: bool) -> None:
    """The pool, its connections and what it had lent go together: the borrower's line is named, not the pool's."""
    world = World()
    pool = world.pool()
    pool.takes_back = takes_back
    connection = world.opens(USERS, pool=pool, at_home=False)
    loan = world.opens(kind="checkout", pool=pool, parent=connection)
    world.closes(loan, connection, how=COLLECTED)
    (found,) = world.found(collected_open)
    assert (found.opened.function, found.count) == ("load_cars", 1)


def test_a_private_database_that_the_collector_frees_is_info() -> None:
    """Nobody else could see it: on Python 3.10 and on later ones alike."""
    world = World()
    world.closes(world.opens(to=Database("sqlite", name=":memory:", private=True)), how=COLLECTED)
    (found,) = world.found(collected_open)
    assert (found.severity, found.why[0][-17:]) == ("info", "keeps its memory.")


def test_a_loan_that_the_collector_frees_was_not_given_back() -> None:
    """Its connection goes home and is closed by nobody; until then the pool has one fewer."""
    world = World()
    world.closes(world.opens(kind="checkout", pool=world.pool()), how=COLLECTED)
    (found,) = world.found(collected_open)
    assert reason(found) == "never gave back 1 connection, freed by garbage collection"
    assert found.why[0].endswith("the pool cannot lend it.")


@pytest.mark.parametrize("how", [FREED, COLLECTED, ORPHANED, "thread ended"])
@pytest.mark.parametrize(("takes_back", "closed"), [(True, False), (False, True), (False, False)])
def test_a_loan_that_its_pool_cannot_get_back_is_an_error(how: str, *, takes_back: bool, closed: bool) -> None:
    """The pool lends one fewer for ever: psycopg_pool forgets what it has lent. Not once it is closed."""
    world = World()
    pool = world.pool()
    pool.takes_back = takes_back
    if closed:
        pool.closed_at = world.clock()
    world.closes(world.opens(kind="checkout", pool=pool), how=how)
    expected = [("error", 1)] if not takes_back and not closed else None
    found = said(world.found(collected_open))
    assert found == expected if expected else ("error", 1) not in found


def test_a_job_that_drops_its_connection_in_a_live_worker_is_found() -> None:
    """The worker lives on, so nothing but the job can have dropped it."""
    world = World()
    handle = world.opens(by=job(thread("worker-0", REPORT, worker=True)))
    handle.owner.job_over_at = world.clock()
    world.closes(handle, how=COLLECTED)
    assert said(world.found(collected_open)) == [("warning", 1)]


def test_how_long_ago_jobs_ended_is_not_when_their_worker_did() -> None:
    """The executor is shut down at the end of the process, long after its jobs have returned."""
    world = World()
    worker = thread("worker-0", REPORT, worker=True)
    for owner in (job(worker), job(worker)):
        world.opens(by=owner)
        owner.job_over_at = world.clock()
    world.after(3)
    ends(worker)
    world.look()
    (finding,) = world.found(left_open, AT_EXIT)
    assert "Something still refers to them, although their jobs ended 3.0 s ago." in finding.why


# --- owner-gone -------------------------------------------------------------------------------------------------


def gone_for(seconds: float, *, handles: int = 2, kind: str = "thread") -> World:
    """Give a world in which `handles` owners, with a handle each, ended so long ago."""
    world = World()
    for number in range(handles):
        owner = thread(f"Thread-{number}", REPORT) if kind == "thread" else task(f"Task-{number}")
        world.opens(by=owner)
        ends(owner)
    world.look()
    return world.after(seconds)


def test_a_pool_that_short_threads_fill_is_thought_of() -> None:
    """Nobody has used the connections yet: the rule cannot know that a pool of the program's keeps them."""
    pool = "If a pool of the program's own keeps them, write `# whoholds: ignore[owner-gone]` on the opening line."
    (filled,) = gone_for(6).found(owner_gone)
    assert pool in filled.advice
    world = gone_for(6)
    for handle in world.open:
        handle.calls += 1
    (used,) = world.found(owner_gone)
    assert pool not in used.advice


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_the_owner_is_gone_after_the_limit_and_not_before(kind: str) -> None:
    """At WHOHOLDS_OWNER_GONE, 5 seconds, and with the spawn line of the dead."""
    assert gone_for(4.0, kind=kind).found(owner_gone) == []
    (found,) = gone_for(5.0, kind=kind).found(owner_gone)
    assert (found.severity, found.count, found.spawned.frame.function) == ("error", 2, "build")
    assert found.numbers == (f"owner {kind}", 5.0)


def test_a_global_made_lazily_in_the_first_task_is_no_finding() -> None:
    """The only handle of its line may outlive the task that happened to be first."""
    assert gone_for(60.0, handles=1).found(owner_gone) == []


def test_what_a_task_of_gather_brought_is_whose_who_awaited_it() -> None:
    """Until a look has seen that one gone for as long: what it closed as it ended may be open in the same look."""
    never_blame("asyncpg")
    world, awaits = World(owner_gone=5.0), task("Task-1")
    opened = from_lines(
        [("/lib/site-packages/asyncpg/connection.py", 7, "connect"), (asyncio.events.__file__, 80, "_run")]
    )
    for number in range(2):
        brings = task(f"Task-{number + 2}")
        assert brings.spawn is not None
        brings.spawn.by = awaits
        handle = world.opens(by=brings)
        handle.origin = opened
        ends(brings)
    world.look()
    assert world.after(60.0).found(owner_gone) == []
    ends(awaits)
    assert world.found(owner_gone) == []
    assert world.after(4.0).found(owner_gone) == []
    (found,) = world.after(1.0).found(owner_gone)
    assert found.count == 2


def test_a_handle_used_since_was_handed_over() -> None:
    """Another thread uses it: it has a new holder."""
    world = gone_for(0.0)
    world.clock.advance(1)
    for handle in world.open:
        handle.used_at = world.clock()
    assert world.after(60.0).found(owner_gone) == []


def test_a_handle_last_used_by_another_thread_was_handed_over() -> None:
    """It was taken over before its owner ended."""
    world = gone_for(0.0)
    for handle in world.open:
        handle.used_by = 4711
    assert world.after(60.0).found(owner_gone) == []


def test_a_handle_inside_a_call_is_somebodys() -> None:
    """While a statement runs on it, it is held by whoever runs that."""
    world = gone_for(0.0)
    for handle in world.open:
        handle.caller = 4711
    assert world.after(60.0).found(owner_gone) == []


def test_a_job_is_not_gone_while_its_worker_lives() -> None:
    """The worker's next job may use the connection."""
    world = World()
    for number in range(2):
        owner = job(thread(f"worker-{number}", REPORT, worker=True))
        world.opens(by=owner)
        owner.job_over_at = world.clock()
    assert world.after(60.0).found(owner_gone) == []
    for handle in world.open:
        ends(handle.owner.thread)
    world.look()
    assert said(world.after(6.0).found(owner_gone)) == [("error", 2)]


# --- given-back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["left-open", "owner-gone", "held-too-long", "idle-in-transaction", "growing"])
def test_what_was_reported_and_then_closed_is_said_with_how_long_it_was_held(rule: str) -> None:
    """A ladder that takes itself back."""
    world = World()
    handle = world.opens(told=BITS[rule])
    world.clock.advance(93)
    world.closes(handle)
    (found,) = world.found(given_back)
    assert (found.severity, found.count, found.numbers) == ("info", 1, (93.0,))


def test_what_nobody_reported_is_closed_in_silence() -> None:
    """Nor is one that was part of a spike: that does not say that it should have been closed."""
    world = World()
    world.closes(world.opens(), world.opens(told=BITS["too-many-at-once"]))
    assert world.found(given_back) == []


def test_what_was_reported_and_then_freed_was_not_given_back() -> None:
    """Only a close takes a finding back."""
    world = World()
    world.closes(world.opens(told=BITS["held-too-long"]), how=FREED)
    assert world.found(given_back) == []


@pytest.mark.parametrize(("worker", "expected"), [(True, []), (False, [("error", 2)])])
def test_an_executors_workers_that_ended_after_main_were_not_lost(
    *, worker: bool, expected: list[tuple[str, int]]
) -> None:
    """The interpreter joins them first, and may wait for long for other threads before the last look."""
    world = World()
    threads = [thread(f"Thread-{number}", REPORT, worker=worker) for number in range(2)]
    for one in threads:
        world.opens(by=one)
    world.look()
    world.history.standing.main_over_at = world.clock()
    for one in threads:
        ends(one)
    world.look()
    assert said(world.after(60.0).found(owner_gone)) == expected
