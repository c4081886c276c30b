"""waiting-too-long on worlds written by hand: who waits, what the holders do, and the verdict."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import CARS, REPORT, SHOP, USERS, Program, World, at, ends, job, said, task, thread
from whoholds.analysis.inside import unfinished
from whoholds.detectors.waiting import waiting_too_long
from whoholds.ledger.callers import awaited
from whoholds.ledger.handle import Request
from whoholds.ledger.origin import capture, from_lines
from whoholds.ledger.owner import Spawn
from whoholds.reporting.first_line import message as first_line_of

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

PAGE = "/srv/shop/page.py:20 page"
AUDIT = "/srv/shop/audit.py:5 write"
CALLED_AT = "/srv/shop/report.py:30 build"  # the caller of load_cars
OUTSIDE = "/srv/shop/report.py:40 build"  # the same function, further down


def stack(*lines: str) -> Origin:
    """Give an origin of these frames, innermost first."""
    return tuple(part for line in lines for part in at(line))


class Pool:
    """A world with one pool of two, and what its looks find of the stacks that a test gives."""

    def __init__(self, size: int = 2, **limits: Any) -> None:
        self.world = World(**limits)
        self.pool = self.world.pool(most=size)
        self.stacks: dict[Owner, Origin] = {}

    def lends(self, by: Owner | None = None, line: str = CARS, now: Origin = (), **state: Any) -> Handle:
        """Give a loan; its owner, a new thread unless another is given, is `now` there."""
        owner = by or thread(f"Thread-{len(self.world.open)}", REPORT)
        connection = self.world.opens(line, owner, pool=self.pool)
        connection.caller = state.pop("caller", 0)
        loan = self.world.opens(line, owner, kind="checkout", pool=self.pool, parent=connection, **state)
        loan.origin = stack(line, CALLED_AT)
        self.stacks[owner] = now
        return loan

    def asks(self, by: Owner | None = None, line: str = PAGE) -> Request:
        """Give a request that waits from now on."""
        owner = by or thread(f"Thread-{100 + len(self.world.requests)}", REPORT)
        request = Request(self.pool, owner, stack(line), self.world.clock())
        self.world.requests.append(request)
        return request

    def after(self, seconds: float) -> list[Finding]:
        """Give what the look finds that comes so many seconds later."""
        from dataclasses import replace

        self.world.clock.advance(seconds)
        snapshot = replace(self.world.look(), stacks=self.stacks)
        return list(waiting_too_long(snapshot, self.world.limits))


def verdicts(findings: list[Finding]) -> list[tuple[str, str, int]]:
    return [(finding.severity, finding.verdict, finding.count) for finding in findings]


INSIDE = stack("/srv/shop/http.py:3 post", "/srv/shop/cars.py:44 load_cars", CALLED_AT)
RETURNED = stack("/srv/shop/mail.py:8 send", OUTSIDE)
ELSEWHERE = stack("/srv/shop/queue.py:8 get")
COMES_AGAIN = stack("/srv/shop/queue.py:8 get", "/srv/shop/cars.py:41 load_cars", CALLED_AT)


def test_a_leak_of_all() -> None:
    """Their owners are elsewhere: an error, with the asking line as the second and the numbers in a sentence."""
    pool = Pool()
    for _ in range(2):
        pool.lends(now=ELSEWHERE)
    for _ in range(3):
        pool.asks()
    assert pool.after(5.0) == []
    (found,) = pool.after(1.0)
    assert verdicts([found]) == [("error", "leaked", 3)]
    assert (found.opened.function, found.also.what, found.also.site.frame.function) == ("load_cars", "waiting", "page")
    assert found.why[0].startswith("Leaked: both connections of the pool have been idle for at least 6.0 s")
    assert [(part.count, part.site.frame.function) for part in found.parts] == [(2, "load_cars")]
    assert [(group.count, group.site.frame.function, group.longest_s) for group in found.waiting] == [(3, "page", 6.0)]


def test_a_leak_of_one_is_said_while_the_queue_moves() -> None:
    """Its line is named first, though the loans of another line are more; a holder uses its loan, so it is a warning."""
    pool = Pool(3)
    pool.lends(now=ELSEWHERE)
    pool.asks()
    pool.world.clock.advance(6)
    for _ in range(2):
        pool.lends(line=USERS, caller=1)
    (found,) = pool.after(0.5)
    assert verdicts([found]) == [("warning", "leaked", 1)]
    assert [(part.count, part.site.frame.function) for part in found.parts] == [(1, "load_cars"), (2, "load_users")]


def test_a_place_that_the_pool_lost_counts_as_held() -> None:
    """psycopg_pool never gets back what the program drops."""
    pool = Pool(1)
    pool.pool.takes_back = False
    loan = pool.lends()
    pool.world.look()
    pool.world.closes(loan, how="freed")
    pool.pool.lost.append(loan)
    pool.asks()
    (found,) = pool.after(6)
    assert verdicts([found]) == [("error", "leaked", 1)]
    assert any("has lost its place" in sentence for sentence in found.why)


@pytest.mark.parametrize("caller", [0, 1])
def test_all_busy_with_statements(caller: int) -> None:
    """One long statement, or many short ones: the pool is too small, and so many were wanted at once."""
    pool = Pool()
    loans = [pool.lends(caller=caller, now=INSIDE) for _ in range(2)]
    for _ in range(4):
        pool.asks()
    pool.world.clock.advance(6)
    for loan in loans:
        loan.parent.used_at = pool.world.clock()
    (found,) = pool.after(0)
    assert verdicts([found]) == [("warning", "too small", 4)]
    assert found.why == (
        "Too small: both connections of the pool are in use.",
        "6 connections were wanted at once. They are in use for 100% of the time they are held: a pool of 6 would do."
        if caller
        else "6 connections were wanted at once. They are held without being used: give them back sooner before you enlarge the pool.",
    )


def test_all_busy_with_work_that_is_not_the_database() -> None:
    """Each holder is in the call that borrowed, further down: give back sooner. All are idle: an error."""
    pool = Pool()
    for _ in range(2):
        pool.lends(now=INSIDE)
    pool.asks()
    (found,) = pool.after(6)
    assert verdicts([found]) == [("error", "too small", 1)]
    assert found.why == (
        "Too small for the way it is used: both connections of the pool have been idle for at least 6.0 s while their owners do "
        "other work.",
        "3 connections were wanted at once. They are held without being used: give them back sooner before you enlarge the pool.",
    )
    assert found.advice[0].startswith("Give each connection back before slow work")


def test_nested_loans() -> None:
    """Both owners wait for a second: a deadlock, whatever others wait for; the holders' own line is named first."""
    pool = Pool()
    owners = [thread(f"Thread-{number}", REPORT) for number in range(2)]
    for owner in owners:
        pool.lends(owner)
    for _ in range(3):
        pool.asks()
    for owner in owners:
        pool.asks(owner).origin = stack(AUDIT, "/srv/shop/cars.py:44 load_cars", CALLED_AT)
    (found,) = pool.after(6)
    assert verdicts([found]) == [("error", "deadlock", 5)]
    assert found.also.site.frame.function == "write"
    assert (
        "both connections of the pool are held by threads that wait for another connection of the same pool"
        in found.why[0]
    )


def test_not_all_nest() -> None:
    """The third uses its connection, and gives it back some time: too small, and only a warning."""
    pool = Pool(3)
    for _ in range(2):
        loan = pool.lends()
        pool.asks(loan.owner).origin = stack(AUDIT, "/srv/shop/cars.py:44 load_cars", CALLED_AT)
    pool.lends(caller=1)
    assert verdicts(pool.after(6)) == [("warning", "too small", 2)]


def crossed(size: int = 1) -> tuple[Pool, list[tuple[Handle, Request]]]:
    """Give two pools whose holders ask the other one, and the loan and the request of each holder."""
    pool = Pool(size)
    other = pool.world.pool(most=size)
    holders = []
    for lender, asked in ((pool.pool, other), (other, pool.pool)):
        for _ in range(size):
            pool.pool = lender
            loan = pool.lends(now=INSIDE)
            pool.pool = asked
            holders.append((loan, pool.asks(loan.owner)))
            holders[-1][1].origin = stack(AUDIT, "/srv/shop/cars.py:44 load_cars", CALLED_AT)
    return pool, holders


@pytest.mark.parametrize("size", [1, 2])
def test_two_pools_that_wait_for_each_other(size: int) -> None:
    """Nobody goes on: each pool is in a deadlock."""
    pool, _ = crossed(size)
    found = pool.after(6)
    assert verdicts(found) == [("error", "deadlock", size)] * 2
    assert all("of a pool whose holders are waiting too" in one.why[0] for one in found)
    assert all(one.advice[0].startswith("Borrow from the pools in the same order") for one in found)


def test_two_pools_that_wait_for_each_other_while_a_holder_goes_on() -> None:
    """The holder will give back, and then everybody goes on: both pools are too small."""
    pool, holders = crossed(2)
    loan, request = holders[0]
    pool.world.requests.remove(request)
    loan.parent.caller = 1
    assert [verdict for _, verdict, _ in verdicts(pool.after(6))] == ["too small"] * 2


def test_a_pool_whose_holders_wait_for_one_that_is_slow_is_in_no_deadlock() -> None:
    """The other pool gives back some time, and then these holders do."""
    pool = Pool(1)
    loan = pool.lends(now=INSIDE)
    pool.asks()
    pool.pool = pool.world.pool(most=1)
    pool.lends(line=USERS, caller=1)
    pool.asks(loan.owner).origin = stack(AUDIT, "/srv/shop/cars.py:44 load_cars", CALLED_AT)
    found = {one.opened.function: one for one in pool.after(6)}
    assert {name: one.verdict for name, one in found.items()} == {"load_cars": "too small", "load_users": "too small"}
    assert found["load_cars"].why[0].endswith("idle for 6.0 s while its owner waits for another pool.")


def test_whoever_leaks_and_asks_again_at_the_same_line_is_no_deadlock() -> None:
    """A worker that forgets to give back on one path: it comes again to the line, or has left the function."""
    for origin in (stack(CARS, CALLED_AT), stack(AUDIT)):
        pool = Pool()
        for _ in range(2):
            loan = pool.lends()
            pool.asks(loan.owner).origin = origin
        assert verdicts(pool.after(6)) == [("error", "leaked", 2)]


def test_a_queue_that_moves_on_is_silent() -> None:
    """Everybody waits for more than five seconds, and the pool lends again and again."""
    pool = Pool()
    loans = [pool.lends(caller=1) for _ in range(2)]
    for _ in range(20):
        pool.asks()
    for _ in range(10):
        pool.world.clock.advance(2)
        pool.world.closes(loans.pop(0))
        loans.append(pool.lends(caller=1))
        assert pool.after(0.1) == []


def test_a_pool_that_is_being_opened_is_silent() -> None:
    """It does not yet lend all that it may: a connection is on its way."""
    pool = Pool()
    pool.lends(now=ELSEWHERE)
    pool.asks()
    assert pool.after(60) == []


def test_a_pool_without_a_bound_lets_nobody_wait_for_a_holder() -> None:
    """Whoever waits, waits for the server."""
    pool = Pool()
    pool.pool.max = None
    pool.lends(now=ELSEWHERE)
    pool.asks()
    assert pool.after(60) == []


@pytest.mark.parametrize(
    ("now", "comes_back_after", "verdict"),
    [
        (INSIDE, 0, "too small"),
        (RETURNED, 0, "too small"),  # the function that borrowed has returned, and its caller may have the loan
        (RETURNED, 4, "too small"),  # loans of this line do come back, after about as long
        (RETURNED, 1, "leaked"),
        (ELSEWHERE, 4, "leaked"),
        (COMES_AGAIN, 4, "leaked"),  # a loop: the line is further up
        ((), 4, "leaked"),
    ],
)
def test_where_a_holder_is_now_decides(now: Origin, comes_back_after: float, verdict: str) -> None:
    """Whether a thread that does not use its loan is still in the piece of work for which it borrowed."""
    pool = Pool(1)
    if comes_back_after:
        before = pool.lends()
        pool.world.clock.advance(comes_back_after)
        pool.world.closes(before)
        pool.world.look()
    pool.lends(now=now)
    pool.asks()
    assert [finding.verdict for finding in pool.after(6)] == [verdict]


FLASK = "/srv/lib/site-packages/flask/app.py"
HOOK = stack("/srv/shop/hooks.py:5 before", f"{FLASK}:30 dispatch")
VIEW = stack("/srv/shop/http.py:3 post", "/srv/shop/cars.py:7 view", f"{FLASK}:40 dispatch")
NEXT_HOOK = stack("/srv/shop/http.py:3 post", "/srv/shop/hooks.py:9 audit", f"{FLASK}:30 dispatch")
AS_THREAD, AS_JOB = "thread", "job"


@pytest.mark.parametrize(
    ("owner", "now", "comes_back_after", "verdict"),
    [
        (AS_THREAD, VIEW, 0, "too small"),
        (AS_THREAD, VIEW, 1, "too small"),  # the next view may take longer
        (AS_JOB, VIEW, 0, "too small"),
        (AS_THREAD, NEXT_HOOK, 0, "leaked"),  # of the next request, as far as one can see
        (AS_THREAD, NEXT_HOOK, 4, "too small"),
        (AS_JOB, NEXT_HOOK, 0, "too small"),
    ],
)
def test_what_a_framework_s_hook_borrowed_its_request_has(
    owner: str, now: Origin, comes_back_after: float, verdict: str
) -> None:
    """Flask's `before_request`, a dependency, a middleware: no function of the program's own is on both stacks."""
    pool = Pool(1)
    worker = thread("worker", REPORT)
    if comes_back_after:
        before = pool.lends(worker)
        before.origin = HOOK
        pool.world.clock.advance(comes_back_after)
        pool.world.closes(before)
        pool.world.look()
    pool.lends(job(worker) if owner == AS_JOB else worker, now=now).origin = HOOK
    pool.asks()
    assert [finding.verdict for finding in pool.after(6)] == [verdict]


@pytest.mark.parametrize("kind", [AS_THREAD, AS_JOB])
def test_what_a_hook_borrowed_before_it_borrowed_again_has_leaked(kind: str) -> None:
    """A hook whose request never gives back, in a thread that serves one request after the other."""
    worker = thread("worker", REPORT)
    owner = job(worker) if kind == AS_JOB else worker
    pool = Pool()
    for _ in range(2):
        pool.lends(owner, now=VIEW).origin = HOOK
    pool.asks()
    (found,) = pool.after(6)
    assert (found.verdict, found.why[0][:50]) == ("leaked", "Leaked: 1 of the pool's 2 connections has been idl")


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (stack("/srv/shop/cars.py:44 load_cars", CALLED_AT), "deadlock"),
        (stack(f"{asyncio.tasks.__file__}:9 sleep", "/srv/shop/cars.py:45 load_cars", CALLED_AT), "too small"),
        (stack("/srv/shop/http.py:3 post", "/srv/shop/cars.py:45 load_cars", CALLED_AT), "too small"),
    ],
    ids=["gather", "sleep", "other work"],
)
def test_holders_that_wait_for_what_they_started_wait_for_the_pool(now: Origin, verdict: str) -> None:
    """Each has one, and starts others that need one: `await asyncio.gather(part(), part())`."""
    pool = Pool()
    for number in range(2):
        owner = task(f"Task-{number}")
        pool.lends(owner, now=now)
        part = task(f"Part-{number}")
        part.spawn = Spawn(stack("/srv/shop/cars.py:44 load_cars", CALLED_AT), owner)
        pool.asks(part)
    (found,) = pool.after(6)
    assert verdicts([found]) == [("error", verdict, 2)]
    if verdict == "deadlock":
        assert found.why[0] == (
            "Deadlock: both connections of the pool are held by tasks that wait until what they started gets another "
            "connection of the same pool, so none comes back."
        )
        assert found.advice[0].startswith("Pass the first connection")


def test_what_the_main_function_borrowed_in_a_call_that_is_over_has_leaked() -> None:
    """A script that borrows in a function, and goes on. Once loans of that line come back, they are not for good."""
    pool = Pool(1)
    pool.lends(pool.world.main, now=RETURNED)
    pool.asks()
    assert [finding.verdict for finding in pool.after(6)] == ["leaked"]


def test_a_task_or_job_is_a_piece_of_work() -> None:
    """What it holds while it runs is in use, if its stack does not show otherwise; once it is over, it has leaked."""
    worker = thread("worker", REPORT, worker=True)
    for owner in (task("Task-1"), job(worker)):
        pool = Pool(1)
        pool.lends(owner)
        pool.asks()
        assert [finding.verdict for finding in pool.after(6)] == ["too small"]
        if owner.kind == "job":
            owner.job_over_at = pool.world.clock()
        else:
            ends(owner)
        assert [finding.verdict for finding in pool.after(1)] == ["leaked"]


def test_what_a_worker_borrowed_for_a_task_is_in_use_while_the_task_runs() -> None:
    """FastAPI's synchronous endpoints: the stack of the task does not show what its worker thread does."""
    whole, worker = task("Task-1"), thread("AnyIO worker thread", worker=True)
    pool = Pool(1)
    pool.lends(whole.inside(worker), now=ELSEWHERE)
    pool.asks()
    assert [finding.verdict for finding in pool.after(6)] == ["too small"]
    ends(whole)
    assert [finding.verdict for finding in pool.after(1)] == ["leaked"]


def test_a_loan_that_listens_is_in_use() -> None:
    """It waits for notifications, and has its place in the pool."""
    pool = Pool(1)
    loan = pool.lends(now=ELSEWHERE)
    loan.parent.ring, loan.parent.calls = [("LISTEN cars", pool.world.clock(), 0.0)], 1
    pool.asks()
    assert verdicts(pool.after(6)) == [("warning", "too small", 1)]


def test_a_loan_that_is_kept_for_good_has_its_place_while_the_queue_moves() -> None:
    """Its line took no other, and it is used again and again. If nothing moves any more, it is in the way."""
    pool = Pool()
    loan = pool.lends(now=ELSEWHERE)
    at_ = pool.world.clock()
    loan.parent.ring, loan.parent.calls = [("SELECT now()", at_, 0.0), ("SELECT now()", at_, 0.0)], 2
    pool.asks()
    pool.world.clock.advance(6)
    pool.lends(line=USERS, caller=1)
    assert pool.after(1) == []
    assert [finding.verdict for finding in pool.after(6)] == ["leaked"]


def test_asking_lines_have_limits_of_their_own() -> None:
    """`5,60@jobs/*.py`: a job may wait for a minute, and is counted once somebody else has waited too long."""
    pool = Pool(waiting="5,60@jobs/*.py")
    for _ in range(2):
        pool.lends(now=ELSEWHERE)
    pool.asks(line="/srv/shop/jobs/night.py:9 run")
    assert pool.after(59) == []
    assert said(pool.after(2)) == [("error", 1)]
    pool.world.requests.clear()
    pool.asks(line="/srv/shop/jobs/night.py:9 run")
    pool.asks()
    assert said(pool.after(6)) == [("error", 2)]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (1, "borrowed the pool's only connection: leaked; 1 waiting 6.0 s at page.py:20 in page"),
        (2, "borrowed both connections of the pool: leaked; 2 waiting up to 6.0 s at page.py:20 in page"),
        (3, "borrowed all 3 connections of the pool: leaked; 3 waiting up to 6.0 s at page.py:20 in page"),
    ],
)
def test_the_first_line_names_holders_verdict_and_those_who_wait(size: int, message: str) -> None:
    """In this order, as a person would say it."""
    pool = Pool(size)
    for _ in range(size):
        pool.lends(now=ELSEWHERE)
        pool.asks()
    (found,) = pool.after(6)
    assert message in first_line_of(found).replace("/srv/shop/", "")


def test_two_pools_of_one_database_are_two_findings() -> None:
    """Each has its own holders."""
    pool = Pool(1)
    other = pool.world.pool(most=1)
    pool.lends(now=ELSEWHERE)
    pool.world.opens(USERS, thread("Thread-9", REPORT), kind="checkout", pool=other, to=SHOP)
    pool.asks()
    pool.world.requests.append(Request(other, thread("Thread-8"), at(PAGE), pool.world.clock()))
    assert sorted(found.opened.function for found in pool.after(6)) == ["load_cars", "load_users"]


def test_a_look_keeps_no_request() -> None:
    """An interrupt may take one away without an answer: it waits as long as somebody has it, and looks do not count."""
    program = Program()
    theirs = type("Theirs", (), {})()
    pool = program.ledger.pool_made(theirs, "pool", None, 1)
    request = [program.ledger.asks(pool, None)]
    program.looks()
    assert program.watch.snapshot is not None
    assert len(program.watch.snapshot.requests) == 1
    request.clear()
    program.looks()
    assert program.watch.snapshot.requests == ()


def test_the_time_in_which_the_machine_slept_is_not_waited() -> None:
    """A laptop that was closed for an hour."""
    pool = Pool(1)
    pool.lends(now=ELSEWHERE)
    pool.world.look()
    pool.asks()
    assert pool.after(3600) == []
    assert verdicts(pool.after(6)) == [("error", "leaked", 1)]


def test_a_function_that_is_called_in_a_generator_keeps_what_its_caller_keeps() -> None:
    """Nothing is known where a library calls the generator, and the stack of the caller does not show it."""

    def generator() -> Any:
        yield

    taken = (generator.__code__, 0)
    assert not unfinished(taken, stack(PAGE)).known
    assert unfinished(stack(CARS), stack(PAGE)).known


def test_a_task_s_stack_ends_where_its_code_ends() -> None:
    """The event loop's frames are on the stack with which it took, and not on the one that it has while it waits."""
    loop = from_lines([("/usr/lib/python3/asyncio/events.py", 80, "_run")])
    further = stack("/srv/shop/cars.py:44 load_cars")
    assert not unfinished(at(CARS) + loop, further).inside
    assert unfinished(at(CARS) + loop, further, whole=True).inside


@pytest.mark.parametrize(("pause", "inside"), [("later", True), ("again", False)])
def test_a_task_that_waits_further_down_is_inside_and_one_that_waits_at_the_same_line_is_not(
    pause: str, inside: object
) -> None:
    """A coroutine that awaits has another offset while the awaited one runs than while all of them are suspended."""
    stacks: list[Origin] = []

    @types.coroutine
    def suspended() -> Any:
        yield

    async def borrow(*, wait: bool) -> None:
        if wait:
            await suspended()
        stacks.append(capture(sys._getframe(), 8))

    async def work() -> None:
        for wait in (False, pause == "again"):
            await borrow(wait=wait)
        await suspended()

    async def request() -> None:
        await work()

    coroutine = request()
    coroutine.send(None)
    assert unfinished(stacks[0], awaited(coroutine, 8), whole=True).inside == inside
    coroutine.close()
