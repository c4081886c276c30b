"""What every driver owes a connection that was open before the watch: found once, described, and never accused."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.drivers.libraries import Library, maybe
from tests.drivers.test_pool_contract import (
    AsyncpgPool,
    AsyncPsycopgPool,
    Kind,
    Psycopg2Pool,
    PsycopgPool,
    SQLAlchemyPool,
)
from tests.needs import needed
from whoholds.adopting import adopt as adopting
from whoholds.adopting.referrers import MOST, Climb, Held
from whoholds.adopting.table import ADOPTABLE
from whoholds.assembling import adopt
from whoholds.drivers.table import DRIVERS
from whoholds.ledger import faults
from whoholds.ledger.adoptable import Adoptable, AdoptableStock, Place
from whoholds.ledger.database import database
from whoholds.ledger.ledger import Ledger
from whoholds.reporting.report import text
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding
    from whoholds.ledger.handle import Handle

BELOW = {"aiopg": "_conn", "aiosqlite": "_conn"}  # the connection of another library that theirs is made of
UNKNOWN = {  # what a library does not say of where its connections lead without being asked
    "sqlite3": "sqlite:///a file that is not known",
    "aiosqlite": "sqlite:///a file that is not known",
    "MySQLdb": "mysql:///?",
}


# pytest has put calls of `locals()` into a function that asserts: until 3.12 the names of its variables are not read
REFERRED = re.compile(r"in contract \((variable (connection|below)|a value that is in use)")


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def later(watch: Watch, clock: Clock) -> list[Finding]:
    """Give the findings of two minutes, in which nothing happens."""
    found = []
    for _ in range(24):
        clock.now += 5
        found += watch.tick()
    return found


@pytest.fixture
def library(request: pytest.FixtureRequest, library: Library) -> Library:
    """Give each library whose open connections can be adopted."""
    if library.module not in ADOPTABLE and library.name not in BELOW:
        pytest.skip(f"{library.module} has no driver of whoholds' own")
    return library


def of_mine(watch: Watch, connection: Any) -> Handle:
    """The one handle of this connection: other tests may have left some open."""
    (handle,) = [
        handle
        for handle in watch.handles
        if handle.kind == "connection" and handle.ref is not None and handle.ref() is connection
    ]
    return handle


def test_what_was_open_before(library: Library) -> None:
    """Its database, its transaction and who refers to it are known; its end is noticed; nothing is found of it."""
    clock = Clock()
    faults.take()
    watch = Watch(Limits(), ledger=Ledger(clock=clock), drivers=library.drivers())

    async def contract() -> None:
        connection = await maybe(library.connect())
        try:
            await maybe(library.write(connection))
            below = getattr(connection, BELOW[library.name]) if library.name in BELOW else connection
            with watch:
                before = gc.get_referrers(below)
                assert adopt(watch.ledger) >= 1
                assert len(gc.get_referrers(below)) <= len(before)
                watch.tick()
                if library.system == "sqlite":  # its class takes no weak reference
                    handle = [one for one in watch.handles if one.driver == "sqlite3" and one.referrer is not None][-1]
                    assert REFERRED.search(str(handle.site))
                else:
                    handle = of_mine(watch, below)
                    assert REFERRED.search(handle.site.text), handle.site
                where = UNKNOWN.get(library.name, library.where)
                assert handle.database.text == (where if library.name != "pg8000" else f"{where.rpartition('/')[0]}/?")
                assert handle.in_transaction is (None if library.name in ("MySQLdb", "aiopg") else True)
                assert (handle.origin, handle.pool, handle.inherited) == ((), None, False)
                assert not handle.seen
                await maybe(library.commit(connection))
                await maybe(library.close(connection))
                clock.now += 20
                del below
                watch.tick()
                assert not handle.open
        finally:
            del connection
        assert [finding for finding in watch.findings if handle in finding.handles] == []

    library.go(contract())
    assert faults.take() == []
    assert not watch.failed


@pytest.mark.once
def test_a_transaction_that_was_open_before_is_found_idle_where_calls_are_seen(library: Library) -> None:
    """`idle-in-transaction`, which names who refers to it and no opening line; without calls to see, nothing."""
    clock = Clock()
    watch = Watch(Limits(), ledger=Ledger(clock=clock), drivers=library.drivers())

    async def contract() -> None:
        connection = await maybe(library.connect())
        await maybe(library.write(connection))
        try:
            with watch:
                adopt(watch.ledger)
                watch.tick()
                found = [text(one).splitlines() for one in later(watch, clock) if one.rule == "idle-in-transaction"]
                if library.name in ("sqlite3", "aiosqlite", "psycopg2", "aiopg", "MySQLdb"):
                    assert found == []
                else:
                    mine = [lines for lines in found if REFERRED.search(lines[0])]
                    assert mine, found
                    assert " holds 1 connection, idle for " in mine[0][0]
                    assert mine[0][0].endswith("(opened before whoholds came)")
                    assert not any("opened at" in line for line in mine[0])
        finally:  # others wait for its lock
            await maybe(library.close(connection))
            del connection

    library.go(contract())


STOCKS = (Psycopg2Pool, PsycopgPool, AsyncPsycopgPool, AsyncpgPool, SQLAlchemyPool)


@pytest.fixture(params=STOCKS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Give each library's pool whose stock can be adopted."""
    chosen: type[Kind] = request.param
    for module in chosen.modules:
        needed(module.partition(".")[0])
    return chosen(request.getfixturevalue(chosen.fixture) if chosen.fixture else str(tmp_path / "shop.db"))


@pytest.fixture
def clock() -> Clock:
    """Give a clock that the test sets."""
    return Clock()


@pytest.fixture
def watch(kind: Kind, clock: Clock) -> Iterator[Watch]:
    """Give a watch with the pool's driver and the one below, not yet started."""
    drivers = []
    for module in kind.modules:
        file, _, function = DRIVERS[module].partition(":")
        drivers.append(getattr(import_module(file), function))
    faults.take()
    yield Watch(Limits(), ledger=Ledger(clock=clock), drivers=drivers)
    assert faults.take() == []


def loans(watch: Watch, pool: Any) -> list[Handle]:
    return [handle for handle in watch.handles if handle.kind == "checkout" and handle.pool is pool]


@pytest.mark.once
def test_a_pool_that_was_there_before(kind: Kind, watch: Watch, clock: Clock) -> None:
    """Its loan is told as the borrower's, and goes home; its next loan is one as any; its stock is never accused."""

    async def contract() -> None:
        async with kind.pool() as pool:
            borrowed = await maybe(kind.take(pool))
            with watch:
                adopt(watch.ledger)
                watch.tick()
                mine = [
                    one
                    for one in watch.handles
                    if one.kind == "checkout" and " in contract (" in getattr(one.site, "text", "")
                ]
                (loan,) = mine
                ours = loan.pool
                assert ours is not None
                assert (ours.max, loan.referrer is not None) == (1, True)
                assert [one.rule for one in later(watch, clock) if loan in one.handles] == []
                await maybe(kind.give(pool, borrowed))
                del borrowed
                assert loans(watch, ours) == []
                (stock,) = [one for one in watch.handles if one.pool is ours]
                assert stock.at_home
                assert ours.referrer is not None
                assert [one.rule for one in later(watch, clock) if stock in one.handles] == []
                again = await maybe(kind.take(pool))
                (loan,) = loans(watch, ours)
                assert loan.origin
                await maybe(kind.give(pool, again))
                del again
                assert loans(watch, ours) == []
            assert [one.rule for one in watch.findings if {loan, stock} & set(one.handles)] == []

    asyncio.run(contract())


@pytest.mark.once
@pytest.mark.parametrize("again", [False, True], ids=["given_back", "and_borrowed_again"])
def test_a_pool_that_is_used_while_the_search_runs(
    kind: Kind, watch: Watch, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """Other threads go on meanwhile: what came home is no loan, and a loan is one, which ends when it is given back."""
    if inspect.iscoroutinefunction(kind.give):
        pytest.skip("the event loop waits while the search runs")
    lent: list[Any] = []
    pools: list[Any] = []

    class Meanwhile(Climb):
        """The longest step of the search."""

        def referrers_of(self, targets: list[Any], *, borrowed: set[int]) -> dict[int, Held]:
            """Another thread gives back what it has, and may borrow again."""
            found = super().referrers_of(targets, borrowed=borrowed)
            kind.give(pools[0], lent.pop())
            if again:
                lent.append(kind.take(pools[0]))
            return found

    async def contract() -> None:
        async with kind.pool() as pool:
            pools.append(pool)
            lent.append(kind.take(pool))
            monkeypatch.setattr(adopting, "Climb", Meanwhile)
            with watch:
                adopt(watch.ledger)
                out = [one for one in watch.handles if one.kind == "checkout"]
                assert len(out) == again, out
                if again:
                    kind.give(pool, lent.pop())
                assert [one for one in watch.handles if one.kind == "checkout"] == []
                borrowed = kind.take(pool)
                assert len([one for one in watch.handles if one.kind == "checkout"]) == 1
                kind.give(pool, borrowed)
                assert [one for one in watch.handles if one.kind == "checkout"] == []

    asyncio.run(contract())


def test_a_connection_without_weak_references_is_looked_for_again(tmp_path: Path) -> None:
    """sqlite3's own class: its end is seen at a later look, and the looks are far apart."""
    import sqlite3

    clock = Clock()
    plain = import_module("_sqlite3").Connection
    connection: Any = plain(str(tmp_path / "a.db"))
    watch = Watch(Limits(), ledger=Ledger(clock=clock))
    with watch:
        adopt(watch.ledger)
        before = len(watch.handles)
        assert before >= 1
        connection.close()
        watch.tick()
        assert len(watch.handles) == before  # it is not time yet
        clock.now += adopting.LookAgain.EVERY_S + 1
        watch.tick()
        assert len(watch.handles) < before
    assert sqlite3


class Fragile:
    """A connection that another thread closes as soon as it has said that it is open."""

    def __init__(self, *, at: str) -> None:
        self.at, self.closed, self.asked = at, False, 0

    def answers(self, question: str, answer: Any) -> Any:
        """Answer, unless it was closed before."""
        if self.at == question:
            self.closed = True
        if self.closed:
            raise ValueError("Cannot operate on a closed database.")
        return answer


@pytest.mark.parametrize("at", ["identify", "state"])
def test_what_is_closed_while_it_is_asked_is_closed(at: str) -> None:
    """Whichever of its questions meets it: nothing is entered, and nobody speaks of a fault."""
    row = Adoptable(
        "fragile",
        (Fragile,),
        lambda one: one.answers("identify", (database("other_sql"), None)),
        lambda one: one.closed,
        lambda one: one.answers("state", False),  # noqa: FBT003 - an answer
    )
    faults.take()
    ledger, kept = Ledger(), Fragile(at=at)
    assert adopting.adopt(ledger, [row]) == 0
    assert kept.closed
    assert (ledger.open_now(), faults.take()) == ([], [])


def test_what_is_closed_while_a_look_asks_it_is_closed_at_the_next() -> None:
    """The look does not fail, and the close is seen."""
    row = Adoptable(
        "fragile",
        (Fragile,),
        lambda _: (database("other_sql"), None),
        lambda one: one.closed,
        lambda one: one.answers("state", True),  # noqa: FBT003 - an answer
    )
    kept = Fragile(at="never")
    with Watch(Limits(), ledger=Ledger()) as watch:
        assert adopting.adopt(watch.ledger, [row]) == 1
        kept.at = "state"
        watch.tick()
        (handle,) = watch.handles
        assert handle.in_transaction is None
        watch.tick()
        assert (watch.handles, watch.failed) == ([], [])


def test_a_pool_that_is_just_being_made_is_asked_again() -> None:
    """Its constructor has not set all attributes yet; only what stays wrong is a fault."""
    made = Fragile(at="never")
    asked: list[object] = []

    def places(one: Any) -> list[Place]:
        asked.append(one)
        if len(asked) == 1:
            raise AttributeError("_pool")
        return []

    faults.take()
    stock = AdoptableStock("fragile", (Fragile,), places, lambda _: (None, None))
    row = Adoptable("fragile", (Fragile,), lambda _: (database("other_sql"), None), lambda _: False)
    assert adopting.adopt(Ledger(), [row, stock]) == 1
    assert (asked, faults.take()) == ([made, made], [])


def test_beyond_the_first_two_hundred_nobody_looks_who_refers_to_them() -> None:
    """They are counted, and it is said that this was not looked for."""
    import sqlite3

    connections = [sqlite3.connect(":memory:") for _ in range(MOST + 5)]
    try:
        with Watch(Limits(), ledger=Ledger(), detectors={}) as watch:
            adopt(watch.ledger)
            watch.tick()
            said = [handle.site.text for handle in watch.handles if handle.driver == "sqlite3"]
        assert len(said) >= len(connections)
        assert said.count("an object that was not looked for, beyond the first 200") >= 5
    finally:
        for connection in connections:
            connection.close()
