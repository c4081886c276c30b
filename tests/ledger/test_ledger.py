"""The ledger: opened = closed + open, whoever writes, reads or collects, and whatever is dropped is counted."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import time
import types
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import own_deallocation
from tests.worlds import CARS, SHOP, at, thread
from whoholds.ledger.database import database
from whoholds.ledger.ends import Ends
from whoholds.ledger.entries import THREAD_ENDED
from whoholds.ledger.handle import CHECKOUT, CLOSED, COLLECTED, CONNECTION, FREED, OVER, Pool
from whoholds.ledger.here import OpenedFor, opened_for
from whoholds.ledger.ledger import MANY, Ledger
from whoholds.testing.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.owner import Owner


class Thing:
    """What a driver watches: something that can be referred to weakly, and put into a cycle."""

    me: Thing | None = None


class Solid:
    """A type without weak references, like pymssql's."""

    __slots__ = ()


MAIN = thread()


def ledger_of(owner: Owner = MAIN, **settings: int) -> Ledger:
    """Give a ledger whose clock stands still and whose owner is always the same."""
    return Ledger(clock=FakeClock(), owner=lambda: owner, origin=lambda _, __: at(CARS), **settings)


def opened(ledger: Ledger, thing: object = None, **about: object) -> Handle:
    """Tell the ledger of a connection."""
    return ledger.opened(CONNECTION, "psycopg2", SHOP, thing, None, **about)


@contextmanager
def told_of_collections(ledger: Ledger) -> Iterator[None]:
    """Let the collector's callbacks come to it while the block lasts."""
    before = list(gc.callbacks)
    gc.callbacks.extend(ledger.ends.callbacks)
    try:
        yield
    finally:
        gc.callbacks[:] = before


@pytest.fixture
def collecting() -> Iterator[Ledger]:
    """Give a ledger that is told of the collector, as that of a Watch is; nothing stays in `gc.callbacks`."""
    ledger = ledger_of()
    with told_of_collections(ledger):
        yield ledger


def test_what_is_opened_is_open_until_it_is_closed() -> None:
    """And is taken as ended once."""
    ledger = ledger_of()
    handle = opened(ledger)
    assert ledger.take().open == [handle]
    ledger.closed(handle)
    taken = ledger.take()
    assert (taken.open, taken.ended, handle.how) == ([], [handle], CLOSED)
    assert ledger.take().ended == []


def test_closing_twice_is_once() -> None:
    """A driver may tell of close() and then of the object's end; the first counts."""
    ledger = ledger_of()
    handle = opened(ledger)
    ledger.clock.advance(1)
    ledger.closed(handle)
    ledger.clock.advance(1)
    ledger.closed(handle, FREED)
    assert (ledger.take().ended, handle.how, handle.held_s(ledger.clock())) == ([handle], CLOSED, 1.0)


def test_stamps_order_what_the_clock_cannot() -> None:
    """All at one instant of the clock."""
    ledger = ledger_of()
    one, two = opened(ledger), opened(ledger)
    ledger.closed(one)
    three = opened(ledger)
    order = [one.opened_stamp, two.opened_stamp, one.closed_stamp, three.opened_stamp]
    assert order == sorted(order)
    assert len(set(order)) == 4


def used(connection: Handle, times: int, clock: FakeClock) -> None:
    """Let so many calls of half a second run on it, as a driver tells of them."""
    for _ in range(times):
        began = clock()
        clock.advance(0.5)
        connection.ring = [*connection.ring, (f"SELECT {connection.calls}", began, 0.5)][-5:]
        connection.calls += 1
        connection.calls_s += 0.5
        connection.used_at = clock()


def lent(ledger: Ledger, connection: Handle) -> Handle:
    """Tell the ledger of a loan of that connection."""
    return ledger.opened(CHECKOUT, "psycopg2.pool", SHOP, None, None, parent=connection)


def test_the_numbers_of_a_loan_are_its_own() -> None:
    """Not those of its connection, and not those of the loans before and after it."""
    ledger = ledger_of()
    clock = ledger.clock
    connection = opened(ledger)
    used(connection, 3, clock)
    first = lent(ledger, connection)
    used(connection, 2, clock)
    clock.advance(4)
    ledger.closed(first)
    unused = lent(ledger, connection)
    clock.advance(7)
    ledger.closed(unused)
    last = lent(ledger, connection)
    used(connection, 1, clock)
    assert [(one.uses, one.busy_s) for one in (connection, first, unused, last)] == [(6, 3), (2, 1), (0, 0), (1, 0.5)]
    assert [one.idle_s(clock()) for one in (first, unused, last)] == [4, 7, 0]
    assert [[sql for sql, _, _ in one.statements] for one in (first, unused, last)] == [
        ["SELECT 3", "SELECT 4"],
        [],
        ["SELECT 5"],
    ]


def test_a_loan_can_be_at_home_like_any_handle() -> None:
    """As when Django keeps for its thread what it took from a pool that nobody judges; another loan stays out."""
    ledger = Ledger()
    kept, other = ledger.asks(None, None), ledger.asks(None, None)
    kept.at_home = True
    assert (kept.at_home, other.at_home) == (True, False)


def test_what_a_pool_does_when_it_takes_a_loan_back_is_no_use_of_the_borrower() -> None:
    """Settled first: the rollback after it counts for the connection alone."""
    ledger = ledger_of()
    connection = opened(ledger)
    loan = lent(ledger, connection)
    loan.settle()
    used(connection, 1, ledger.clock)
    ledger.closed(loan)
    assert (loan.uses, loan.busy_s, connection.uses) == (0, 0, 1)


def test_what_the_library_does_at_a_block_s_end_is_no_use_of_the_borrower() -> None:
    """Told twice, as where a signal's handler raises in between, it is left out once."""
    ledger = ledger_of()
    connection = opened(ledger)
    loan = lent(ledger, connection)
    used(connection, 2, ledger.clock)
    uses, busy_s = loan.uses, loan.busy_s
    used(connection, 1, ledger.clock)
    for _ in range(2):
        loan.leave_out(uses, busy_s)
        assert (loan.uses, loan.busy_s) == (2, 1)
    used(connection, 1, ledger.clock)
    assert (loan.uses, loan.busy_s, connection.uses) == (3, 1.5, 4)


def test_a_loan_that_the_pool_would_not_take_back_goes_on_counting() -> None:
    """Settled too early: the connection is still the borrower's."""
    ledger = ledger_of()
    connection = opened(ledger)
    loan = lent(ledger, connection)
    ledger.closed(loan)
    ledger.reopened(loan)
    used(connection, 2, ledger.clock)
    assert (loan.uses, loan.busy_s, loan.idle_s(ledger.clock())) == (2, 1, 0)


def test_a_loan_whose_connection_was_made_anew_counts_from_there() -> None:
    """A pool that found it dead lends another to the same borrower."""
    ledger = ledger_of()
    connection, again = opened(ledger), opened(ledger)
    used(again, 4, ledger.clock)
    loan = lent(ledger, connection)
    loan.lent(again)
    used(again, 1, ledger.clock)
    assert loan.uses == 1


def test_a_call_that_the_next_borrower_is_in_is_none_of_the_loan_before() -> None:
    """It ended idle."""
    ledger = ledger_of()
    connection = opened(ledger)
    loan = lent(ledger, connection)
    ledger.clock.advance(3)
    ledger.closed(loan)
    following = lent(ledger, connection)
    connection.caller = 1
    assert [(one.running, one.idle_s(ledger.clock())) for one in (loan, following)] == [(False, 3), (True, 0)]


def test_peek_takes_nothing_away() -> None:
    """Oldest first."""
    ledger = ledger_of()
    handles = [opened(ledger) for _ in range(3)]
    assert ledger.peek() == ledger.peek() == handles
    ledger.closed(handles[0])
    assert ledger.peek() == handles[1:]
    assert ledger.take().ended == [handles[0]]


def test_a_close_that_failed_leaves_it_open() -> None:
    """Opened, closed and open after all between two looks: it is open, and did not end."""
    ledger = ledger_of()
    handle = opened(ledger)
    ledger.closed(handle)
    ledger.reopened(handle)
    taken = ledger.take()
    assert (taken.open, taken.ended, taken.dropped) == ([handle], [], 0)
    assert (handle.open, handle.how) == (True, "")


def test_what_is_open_after_a_close_that_failed_may_still_be_freed() -> None:
    """Then it ends by that, if the driver has told what it is."""
    ledger, thing = ledger_of(), Thing()
    handle = opened(ledger, thing)
    ledger.closed(handle)
    ledger.reopened(handle, thing)
    assert ledger.peek() == [handle]
    del thing
    assert ledger.take().ended == [handle]
    assert handle.how == FREED


def test_a_close_that_failed_is_told_to_the_ledger_that_has_the_handle() -> None:
    """A class that was made while another Watch ran tells the one of now."""
    earlier, ledger = ledger_of(), ledger_of()
    old, handle = opened(earlier), opened(ledger)
    ledger.closed(old)
    ledger.reopened(old)
    assert (earlier.peek(), ledger.peek()) == ([old], [handle])


def test_a_close_that_failed_and_then_succeeded_is_one_end() -> None:
    """Two tries to close, one handle."""
    ledger = ledger_of()
    handle = opened(ledger)
    ledger.closed(handle)
    ledger.reopened(handle)
    ledger.closed(handle)
    taken = ledger.take()
    assert (taken.open, taken.ended, taken.dropped) == ([], [handle], 0)


def test_a_handle_that_closes_during_a_look_is_in_that_look() -> None:
    """Never in neither of the two lists: the peak would be short of one."""
    ledger = ledger_of()
    handle = opened(ledger)
    clock = ledger.clock

    def closing_clock() -> float:
        ledger.clock = clock
        ledger.closed(handle)
        return clock()

    ledger.clock = closing_clock
    taken = ledger.take()
    assert [*taken.open, *taken.ended] == [handle]
    assert ledger.take().ended == [handle]


def test_a_look_in_the_middle_of_a_close_drops_nothing() -> None:
    """Between the two steps in which an end is kept and counted."""
    ledger = ledger_of()
    looks = []

    class Interrupted(deque):
        def append(self, handle: Handle) -> None:
            looks.append(ledger.take())
            super().append(handle)
            looks.append(ledger.take())

    ledger._ended = Interrupted()
    for _ in range(3):
        ledger.closed(opened(ledger))
    assert [look.dropped for look in looks] == [0] * 6
    assert sum(len(look.ended) for look in looks) == 3


class SignalError(Exception):
    """What a program's signal handler raises, at any line of ours."""


def test_a_close_that_a_signal_cut_short_is_an_end() -> None:
    """After it was stamped and before it left the table: it must not be open for ever."""
    ledger = ledger_of()
    handle = opened(ledger)

    class Cut(dict):
        def pop(self, *_: object) -> None:
            raise SignalError

    ledger._open = Cut(ledger._open)
    with pytest.raises(SignalError):
        ledger.closed(handle)
    ledger._open = dict(ledger._open)
    taken = ledger.take()
    assert (taken.open, taken.ended, taken.dropped) == ([], [handle], 0)
    assert ledger.take().ended == []


# --- freed ------------------------------------------------------------------------------------------------------


def test_the_last_reference_frees_at_once(collecting: Ledger) -> None:
    """At the moment it would be freed without us: the ledger holds nothing."""
    thing = Thing()
    handle = opened(collecting, thing)
    kept = weakref.ref(thing)
    del thing
    assert kept() is None
    collecting.settle()
    assert (handle.open, handle.how) == (False, FREED)


@pytest.mark.parametrize(("takes_back", "lost"), [(True, 0), (False, 1)])
def test_a_loan_that_is_dropped_is_a_place_that_its_pool_has_lost(
    collecting: Ledger, *, takes_back: bool, lost: int
) -> None:
    """Unless the pool takes back what its borrower drops; one that is given back is not."""
    pool = collecting.pool_made(Thing(), "pool", None, 3)
    pool.takes_back = takes_back
    connection = opened(collecting, pool=pool)
    things = [Thing(), Thing()]
    for thing in things:
        loan = collecting.opened(CHECKOUT, "psycopg_pool", SHOP, thing, None, parent=connection, pool=pool)
    collecting.closed(loan)
    things.clear()
    del thing
    collecting.take()
    assert len(pool.lost) == lost
    assert loan not in pool.lost


def test_the_collector_frees_a_cycle(collecting: Ledger) -> None:
    """Told from a last reference by the collector's own callbacks."""
    thing = Thing()
    thing.me = thing
    handle = opened(collecting, thing)
    del thing
    gc.collect()
    collecting.settle()
    assert (handle.open, handle.how) == (False, COLLECTED)
    thing = Thing()
    after = opened(collecting, thing)
    del thing
    collecting.settle()
    assert after.how == FREED


def _tell(ledger: Ledger, phase: str) -> None:
    """Tell it as the collector does: a new dict each time."""
    info = {"generation": 2, "collected": 0, "uncollectable": 0}
    for callback in ledger.ends.callbacks:
        callback(phase, info)


def test_what_is_dropped_in_the_thread_that_collects_is_the_collectors() -> None:
    """Between start and stop, and neither before nor after, however often."""
    ledger = ledger_of()
    for _ in range(2):
        hows = []
        for phase in ("", "start", "stop"):
            if phase:
                _tell(ledger, phase)
            handle = opened(ledger, thing := Thing())
            del thing
            hows.append(handle)
        ledger.settle()
        assert [handle.how for handle in hows] == [FREED, COLLECTED, FREED]


def test_the_collectors_callbacks_are_no_python_functions() -> None:
    """One would be where a signal is handled that came during a collection: a timeout would be lost there."""
    callbacks = ledger_of().ends.callbacks
    assert not any(hasattr(callback, "__code__") or hasattr(callback, "__func__") for callback in callbacks)


def test_what_runs_where_c_swallows_exceptions_is_no_python_function() -> None:
    """What a signal's handler raises while an object is freed goes on to the program."""
    ledger = Ledger()
    entered = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "whoholds" in frame.f_code.co_filename:  # the collection may end somebody's generator
            entered.append(frame.f_code.co_name)

    cycle, last, pool = Thing(), Thing(), Thing()
    cycle.me = cycle
    handles = [opened(ledger, last), opened(ledger, cycle)]
    ledger.pool_made(pool, "pool", None, 5)
    named = database("postgresql", name="nobody keeps it")
    gc.collect()  # what another test left is freed by its own clock, which may be in Python
    with told_of_collections(ledger):
        sys.setprofile(profile)
        del last, pool, named
        del cycle
        gc.collect()
        sys.setprofile(None)
    assert entered == []
    assert ledger.take().ended == handles
    assert [handle.how for handle in handles] == [FREED, COLLECTED]


def test_where_threads_run_at_once_each_notes_what_it_frees() -> None:
    """In C, as everywhere; what is freed in the middle of a note has its own."""
    ends = Ends(itertools.count(1), time.monotonic, by_thread=True)
    entered: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "whoholds" in frame.f_code.co_filename:
            entered.append(frame.f_code.co_name)

    def free(name: str, things: list[Thing]) -> None:
        reference = ends.reference(things[0], ends.on_end)
        reference.handle = types.SimpleNamespace(name=name, owner=None)
        references.append(reference)
        sys.setprofile(profile)
        things.clear()
        sys.setprofile(None)

    references: list[Any] = []
    idents: list[int] = []
    for name in ("a", "b"):
        worker = threading.Thread(target=free, args=(name, [Thing()]))
        worker.start()
        idents.append(worker.ident or 0)
        worker.join()
    noted = [(note[-1].handle.name, note[2], note[4], note[5]) for note in ends.each()]
    assert noted == [("a", 1, idents[0], 0), ("b", 2, idents[1], 0)]
    assert entered == []


@own_deallocation
def test_another_threads_last_reference_during_a_collection_is_not_the_collectors(collecting: Ledger) -> None:
    """The collector runs in one thread; what other threads drop meanwhile they drop themselves."""
    handle = opened(collecting, thing := Thing())
    _tell(collecting, "start")
    kept = [thing]
    del thing
    dropping = threading.Thread(target=kept.clear)
    dropping.start()
    dropping.join()
    _tell(collecting, "stop")
    collecting.settle()
    assert handle.how == FREED


def test_a_worker_threads_own_goes_with_its_thread() -> None:
    """Freed because the thread ended: nobody lost it."""
    owner = thread("Thread-1")
    ledger = ledger_of(owner)
    handle = opened(ledger, thing := Thing())
    owner.ident = -1
    del thing
    ledger.settle()
    assert handle.how == THREAD_ENDED


def test_what_a_pool_owns_goes_with_the_pool() -> None:
    """A freed connection of a pool's stock is the pool's business, a freed loan is the borrower's."""
    ledger = ledger_of()
    pool = Pool(1, "pool", at(CARS), 5)
    stock = opened(ledger, thing := Thing(), pool=pool)
    loan = ledger.opened(CHECKOUT, "psycopg2", SHOP, lent := Thing(), None, pool=pool)
    del thing, lent
    ledger.settle()
    assert (stock.how, loan.how) == (OVER, FREED)


def test_a_type_without_weak_references_is_open_until_its_driver_tells() -> None:
    """Nothing is kept alive by watching it, and nothing raises."""
    ledger = ledger_of()
    handle = opened(ledger, Solid())
    assert handle.open
    ledger.closed(handle)
    assert ledger.take().ended == [handle]


def test_a_ledger_at_its_end_takes_no_callbacks() -> None:
    """At the interpreter's end, when modules are gone."""
    ledger = ledger_of()
    handle = opened(ledger, thing := Thing())
    ledger.active = False
    del thing
    assert handle.open


# --- who is watched ---------------------------------------------------------------------------------------------


def test_the_thread_that_ticks_is_not_watched() -> None:
    """Handles that an exporter opens are ours to keep quiet about; other threads' are watched all the while."""
    ledger = ledger_of()
    ledger.quiet_ident = threading.get_ident()
    quiet = opened(ledger, Thing())
    others: list[Handle] = []
    other = threading.Thread(target=lambda: others.append(opened(ledger)))
    other.start()
    other.join()
    ledger.closed(quiet)
    taken = ledger.take()
    assert (taken.open, taken.ended) == (others, [])


def test_a_stopped_ledger_takes_nothing_new() -> None:
    """Live objects go quiet."""
    ledger = ledger_of()
    ledger.active = False
    ledger.closed(opened(ledger))
    taken = ledger.take()
    assert (taken.open, taken.ended) == ([], [])


def test_a_worker_opens_for_whom_it_was_asked_once() -> None:
    """What a callback opens after that is its own."""
    ledger = ledger_of()
    borrower = thread("Thread-9")
    opened_for.set(OpenedFor(borrower, at("/srv/shop/a.py:1 wants")))
    first, second = opened(ledger), opened(ledger)
    assert (first.owner, first.origin[0].co_name) == (borrower, "wants")
    assert second.owner is MAIN


def test_pools_are_forgotten_when_they_go() -> None:
    """Freed, or disposed of; one that lends again is back."""
    ledger = ledger_of()
    kept = Thing()
    pool = ledger.pool_made(kept, "pool", None, 5)
    assert ledger.take().pools == [pool]
    ledger.pool_gone(pool)
    assert ledger.take().pools == []
    ledger.pool_back(pool)
    assert ledger.take().pools == [pool]
    del kept
    assert ledger.take().pools == []


def test_a_pool_of_an_earlier_watch_takes_the_place_of_none() -> None:
    """Each ledger numbers its own: an old pool that is closed, or lends again, has a number that another has here."""
    earlier, ledger = ledger_of(), ledger_of()
    old_thing, thing = Thing(), Thing()
    old, pool = earlier.pool_made(old_thing, "old", None, 5), ledger.pool_made(thing, "pool", None, 5)
    assert old.key == pool.key
    ledger.pool_gone(old)
    assert ledger.take().pools == [pool]
    ledger.pool_back(old)
    assert ledger.take().pools == [pool, old]
    del old_thing
    assert ledger.take().pools == [pool]
    ledger.pool_gone(pool)
    assert ledger.take().pools == []


# --- refusals ---------------------------------------------------------------------------------------------------


def test_refusals_within_a_second_are_one() -> None:
    """With their number, and what was open at the first."""
    ledger = ledger_of()
    handle = opened(ledger)
    for _ in range(3):
        ledger.refused(RuntimeError("too many"), SHOP, None)
    ledger.clock.advance(1)
    ledger.refused(RuntimeError("too many"), SHOP, None)
    first, second = ledger.take().refusals
    assert (first.count, first.open, first.error, second.count) == (3, [handle], "RuntimeError: too many", 1)


# --- bounds -----------------------------------------------------------------------------------------------------


def test_nothing_grows_where_no_tick_ever_runs() -> None:
    """uWSGI without threads: handles beyond the limit are counted only, ends beyond it are dropped and counted."""
    ledger = ledger_of(most=100)
    kept = [opened(ledger) for _ in range(150)]
    for handle in kept[:100]:
        ledger.closed(handle)
    for _ in range(300):
        ledger.closed(opened(ledger))
        ledger.refused(RuntimeError(), SHOP, None)
        ledger.clock.advance(2)
    taken = ledger.take()
    assert (len(taken.ended), len(taken.open), len(taken.refusals)) == (100, 0, 100)
    assert taken.dropped == 50 + 300  # 50 were never remembered, 300 ends fell out


def test_what_was_dropped_once_is_still_said_at_the_end() -> None:
    """The count is of the whole run, not of the last look."""
    ledger = ledger_of(most=10)
    for _ in range(15):
        ledger.closed(opened(ledger))
    assert ledger.take().dropped == 5
    assert ledger.take().dropped == 5


def test_a_forked_child_begins_with_nothing() -> None:
    """Neither the parent's handles nor its ends nor its losses; using one is told, once."""
    ledger = ledger_of(most=10)
    handles = [opened(ledger) for _ in range(12)]
    ledger.refused(RuntimeError(), SHOP, None)
    ledger.closed(handles[1])
    ledger.quiet_ident = 4711  # a thread that ticked when the fork came
    ledger.in_child()
    taken = ledger.take()
    assert (taken.open, taken.ended, taken.refusals, taken.dropped) == ([], [], [], 0)
    assert ledger.quiet_ident == 0
    for _ in range(2):
        ledger.used_in_child(handles[0], None)
    assert [one[0] for one in ledger.take().inherited] == [handles[0]]


# --- stress -----------------------------------------------------------------------------------------------------

ROUNDS = 1500


def test_opened_is_closed_and_open_with_four_writers_two_readers_and_the_collector() -> None:  # noqa: C901, PLR0915 - one sequence: parts of it would cost calls or clarity
    """Closed, freed by count, freed in cycles, kept: nothing is lost, seen twice or said to be dropped."""
    ledger = Ledger(owner=lambda: MAIN, origin=lambda _, __: at(CARS))
    before = list(gc.callbacks)
    gc.callbacks.extend(ledger.ends.callbacks)
    writing = [True]
    made: list[list[Handle]] = [[] for _ in range(4)]
    kept: list[Thing] = []
    ended: list[Handle] = []
    dropped: list[int] = []
    failures: list[BaseException] = []

    def write(mine: list[Handle]) -> None:
        for number in range(ROUNDS):
            thing = Thing()
            handle = opened(ledger, thing)
            mine.append(handle)
            if number % 4 == 0:
                ledger.closed(handle)
            elif number % 4 == 1:
                thing.me = thing
            elif number % 40 == 2:
                kept.append(thing)
            if number % 100 == 0:
                gc.collect(0)

    def read() -> None:
        while writing:
            taken = ledger.take()
            ended.extend(taken.ended)
            dropped.append(taken.dropped)

    def peek() -> None:
        while writing:
            stamps = [handle.opened_stamp for handle in ledger.peek()]
            assert stamps == sorted(set(stamps))

    def guarded(work: object, *args: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as failure:  # noqa: BLE001 - told to the test
                failures.append(failure)

        return threading.Thread(target=run)

    writers = [guarded(write, mine) for mine in made]
    readers = [guarded(read), guarded(peek)]
    try:
        for one in (*readers, *writers):
            one.start()
        for one in writers:
            one.join()
    finally:
        writing.clear()
        for one in readers:
            one.join()
    gc.collect()
    last = ledger.take()
    gc.callbacks[:] = before
    ended += last.ended
    everything = [handle for mine in made for handle in mine]
    assert failures == []
    assert (len(everything), len(set(everything))) == (4 * ROUNDS, 4 * ROUNDS)
    assert len(ended) == len(set(ended))
    assert {*ended, *last.open} == set(everything)
    assert len(ended) + len(last.open) == len(everything)
    assert {handle.how for handle in ended} == {CLOSED, FREED, COLLECTED}
    assert len(last.open) == len(kept)
    assert {*dropped, last.dropped} == {0}


def test_a_look_sees_each_handle_open_or_ended_and_not_both() -> None:
    """While a thread opens and closes without pause: the peak stands on it."""
    ledger = Ledger(owner=lambda: MAIN, origin=lambda _, __: at(CARS))
    held = [opened(ledger) for _ in range(50)]
    writing = [True]

    def churn() -> None:
        while writing:
            held.append(opened(ledger))
            ledger.closed(held.pop(0))

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(400):
            taken = ledger.take()
            assert not set(taken.open) & set(taken.ended)
    finally:
        writing.clear()
        churning.join()


def test_a_collector_callback_may_come_in_the_middle_of_anything() -> None:
    """With a collection at every allocation, opening and closing neither lock up nor lose a handle."""
    ledger = ledger_of()
    before = gc.get_threshold()
    handles = []
    with told_of_collections(ledger):
        gc.set_threshold(1, 1, 1)
        try:
            for _ in range(100):
                thing = Thing()
                thing.me = thing
                handles.append(opened(ledger, thing))
                del thing
                ledger.peek()
        finally:
            gc.set_threshold(*before)
            gc.collect()
    taken = ledger.take()
    assert (taken.open, set(taken.ended)) == ([], set(handles))


def test_those_who_wait_in_the_parent_do_not_wait_in_the_child() -> None:
    """Their threads do not exist there, though their frames, and with them their requests, are never freed."""
    ledger = Ledger()
    thing = type("Thing", (), {})()
    pool = ledger.pool_made(thing, "pool", None, 1)
    waiting = ledger.asks(pool, None)
    assert ledger.take().requests == (waiting,)
    ledger.in_child()
    assert ledger.take().requests == ()
    waiting.answered()


def test_with_many_open_handles_equal_stacks_take_memory_once() -> None:
    """Those of a loop share one tuple before any look; another line, and another caller of the line, have their own."""
    ledger = Ledger(owner=lambda: MAIN)

    def one_line() -> Handle:
        return ledger.opened(CONNECTION, "psycopg2", SHOP, None, sys._getframe())

    for _ in range(MANY):
        one_line()
    first, *others = [one_line() for _ in range(3)]
    elsewhere = one_line()
    assert all(handle.origin is first.origin for handle in others)
    assert elsewhere.origin != first.origin
    assert one_line().origin not in (first.origin, elsewhere.origin)
    assert ledger.opened(CONNECTION, "psycopg2", SHOP, None, None).origin == ()


class Interrupted(set[Any]):
    """Requests that wait; a signal comes right after one was added, and its handler raises."""

    def add(self, thing: Any, /) -> None:
        """Add the thing, and raise."""
        super().add(thing)
        del thing
        raise KeyboardInterrupt


def test_whose_request_was_interrupted_waits_no_more_while_the_exception_is_kept() -> None:
    """Its traceback has the frame in which the loan was made."""
    ledger = ledger_of()
    pool = ledger.pool_made(Thing(), "Pool", None, 1)
    pool.waiting = Interrupted()
    with pytest.raises(KeyboardInterrupt) as kept:
        ledger.asks(pool, None)
    assert kept.tb is not None
    assert pool.pending == 0
