"""locked on worlds written by hand: who is named, in which order, and with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import AT_EXIT, CARS, FILE, REPORT, SHOP, USERS, World, at, said, thread
from whoholds.detectors.locks import locked
from whoholds.ledger.file_locks import FileLocks
from whoholds.ledger.lockout import (
    DEADLOCK,
    IN_A_STATEMENT,
    IN_TRANSACTION,
    READING,
    SNAPSHOT,
    UNREAD,
    WAITED,
    Holding,
    Lockout,
)
from whoholds.ledger.transactions import Begun
from whoholds.reporting.first_line import message
from whoholds.reporting.report import text

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding

ASKING = "/srv/shop/web.py:31 buy"
SQL = "UPDATE cars SET sold = 1"


class Shop(World):
    """A world in which statements are locked out at ASKING."""

    def __init__(self, to: Any = FILE) -> None:
        super().__init__()
        self.mine = self.opens(to=to, line=ASKING)

    def holds(self, line: str, sql: str | None, state: str = IN_TRANSACTION, **more: Any) -> Holding:
        """Give a connection with a transaction that began with `sql` 2.5 s ago; None: without one."""
        handle = self.opens(line, to=self.mine.database, **more)
        begun = Begun((sql,), self.clock() - 2.5, whole=True, wrote="SELECT" not in sql) if sql else None
        return Holding(handle, begun, state, (), ())

    def locks_out(self, *holdings: Holding, kind: str = WAITED, **more: Any) -> Lockout:
        """Let SQL be locked out now."""
        lockout = Lockout(kind, self.clock(), self.mine, "OperationalError: database is locked", SQL, 1)
        lockout.holdings, lockout.owner, lockout.origin, lockout.again = holdings, self.main, at(ASKING), True
        lockout.waited = 5.0
        for name, value in more.items():
            setattr(lockout, name, value)
        self.lockouts.append(lockout)
        return lockout

    def finding(self) -> Finding:
        """Give the one finding at the end."""
        (found,) = self.found(locked, AT_EXIT)
        return found


def by(name: str) -> dict[str, Any]:
    """Give the owner of that name, a thread started at REPORT."""
    return {"by": thread(name, REPORT)}


def test_the_one_with_the_transaction_is_named_with_the_line_that_failed() -> None:
    """Its opening and spawn line; the failed statement's is the other line."""
    shop = Shop()
    shop.locks_out(shop.holds(CARS, "INSERT INTO cars VALUES ('secret')", **by("Thread-1")), count=3)
    finding = shop.finding()
    assert said([finding]) == [("error", 1)]
    assert message(finding) == (
        "locked: /srv/shop/cars.py:42 in load_cars opened 1 connection holding the lock; failure "
        "at /srv/shop/web.py:31 in buy, spawned at /srv/shop/report.py:17 in build, to shop.db (3 times)"
    )
    assert finding.also is not None
    assert finding.also.what == "failed"
    report = text(finding)
    assert "UPDATE cars failed after 5.0 s." in report
    assert "Its transaction began 2.5 s earlier, with INSERT cars." in report
    assert "idle in transaction" in report
    assert "secret" not in report


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"again": True}, "UPDATE cars failed"),
        ({"again": False, "commits": True}, "COMMIT failed"),
        ({"again": False}, "A call after UPDATE cars failed"),
        ({"again": False, "sql": None}, "A call failed"),
    ],
)
def test_what_failed(more: dict[str, Any], words: str) -> None:
    """A call without a statement is a commit only where it is one: a fetch of a server-side cursor is none."""
    shop = Shop(SHOP)
    shop.locks_out(shop.holds(CARS, "INSERT INTO cars VALUES (1)"), **more)
    assert shop.finding().why[0].startswith(words)


def test_who_wrote_comes_before_who_reads_on_a_file() -> None:
    """However many readers there are."""
    shop = Shop()
    readers = [shop.holds(USERS, "SELECT 1", **by(f"Thread-{number}")) for number in range(3)]
    shop.locks_out(shop.holds(CARS, "INSERT INTO cars VALUES (1)", **by("Thread-9")), *readers)
    finding = shop.finding()
    assert [(part.count, part.site.frame.function) for part in finding.parts if part.site] == [
        (1, "load_cars"),
        (3, "load_users"),
    ]
    assert finding.opened is not None
    assert finding.opened.function == "load_cars"
    assert "opened 1 of 4 connections in a transaction; failure at" in message(finding)


def test_who_touched_the_same_table_comes_first_on_a_server() -> None:
    """It comes before those that wrote elsewhere."""
    shop = Shop(SHOP)
    shop.locks_out(shop.holds(USERS, "INSERT INTO users VALUES (1)"), shop.holds(CARS, "SELECT * FROM cars FOR UPDATE"))
    finding = shop.finding()
    assert finding.opened is not None
    assert finding.opened.function == "load_cars"
    assert finding.count == 2


def test_a_transaction_longer_than_its_last_calls_says_so() -> None:
    """Since when is not known then, only since when at least."""
    shop = Shop()
    holding = shop.holds(CARS, "INSERT INTO cars VALUES (1)")
    assert holding.begun is not None
    shop.locks_out(holding._replace(begun=holding.begun._replace(whole=False)))
    why = " ".join(shop.finding().why)
    assert "Its transaction had been open for more than 2.5 s. The earliest call still on record is INSERT cars." in why


def test_a_thread_that_waits_for_itself_is_told() -> None:
    """The report also says what to do then."""
    shop = Shop()
    shop.locks_out(shop.holds(CARS, "INSERT INTO cars VALUES (1)"))
    finding = shop.finding()
    assert "The same thread holds both connections, so it was waiting for itself." in finding.why
    assert finding.advice == (
        "Pass the first connection to the code that uses the second, or end the first transaction beforehand.",
    )


@pytest.mark.parametrize("kind", [WAITED, DEADLOCK])
def test_a_thread_that_has_another_transaction_open_does_not_wait_for_itself(kind: str) -> None:
    """Somebody else wrote, or the server saw a deadlock, which takes two."""
    shop = Shop(SHOP)
    mine = shop.holds(USERS, "SELECT * FROM users")
    shop.locks_out(mine, shop.holds(CARS, "UPDATE cars SET sold = 0", **by("Thread-1")), kind=kind)
    finding = shop.finding()
    assert not any("same thread" in sentence for sentence in finding.why)
    assert finding.advice[0].startswith("End the transaction" if kind == WAITED else "Take locks")


@pytest.mark.parametrize(
    ("kind", "more", "words", "why"),
    [
        (WAITED, {"elsewhere": FileLocks((1 << 30,), (), own=False), "command": ["nightly", "backup", "--password", "hunter2"]}, "was locked out by another process", "Process 1073741824 held a write lock: nightly backup --password ***."),
        (WAITED, {"elsewhere": FileLocks((), (1 << 30,), own=False)}, "was locked out by another process", "Process 1073741824 held a read lock."),
        (WAITED, {"elsewhere": FileLocks((), (), own=True)}, "by a connection that is not watched", "No connection that"),
        (WAITED, {"elsewhere": FileLocks((), (), own=False)}, "the lock was gone a moment later", "No connection that"),
        (WAITED, {"elsewhere": FileLocks((), (), own=False, own_reads=True)}, "by a connection that is not watched", "The lock was held by a connection of this process that is not watched"),
        (WAITED, {"elsewhere": FileLocks((), (), own=False, own_reads=True), "was_begun": True}, "the lock was gone a moment later", "No connection that"),
        (WAITED, {"elsewhere": FileLocks((), (1 << 30,), own=True)}, "by a connection that is not watched", "The lock was held by a connection of this process that is not watched"),
        (WAITED, {"elsewhere": FileLocks((), (1 << 30,), own=True), "again": False}, "was locked out by another process", "held a read lock"),
        (WAITED, {}, "was locked out by a connection that is not watched", "held by another process, or by a connection of this process that is not watched"),
        (SNAPSHOT, {}, "another connection had written since it read", "UPDATE cars failed"),
        (DEADLOCK, {}, "was ended by a deadlock with a connection that is not watched", "No connection that"),
    ],
)  # fmt: skip
def test_where_nobody_here_is_to_blame_the_failed_line_is_named(
    kind: str, more: dict[str, Any], words: str, why: str
) -> None:
    """It is named once, with whatever is known of the others."""
    shop = Shop()
    shop.locks_out(kind=kind, **more)
    finding = shop.finding()
    said_first = message(finding)
    assert said_first.startswith("locked: /srv/shop/web.py:31 in buy ")
    assert said_first.count("web.py") == 1
    assert words in said_first
    assert why in " ".join(finding.why)
    assert (finding.count, finding.parts) == (1, ())


@pytest.mark.parametrize(
    ("kind", "state", "sql", "words"),
    [
        (WAITED, IN_A_STATEMENT, None, "opened 1 connection in a statement; failure at"),
        (WAITED, READING, None, "opened 1 connection with rows still to read; failure at"),
        (UNREAD, READING, None, "opened 1 connection with rows still to read; failure at"),
        (DEADLOCK, IN_A_STATEMENT, SQL, "opened 1 connection in a deadlock; failure at"),
        (WAITED, IN_TRANSACTION, SQL, "opened 1 connection holding the lock; failure at"),
    ],
)
def test_the_words_are_those_of_what_was_in_the_way(kind: str, state: str, sql: str | None, words: str) -> None:
    """A transaction, a statement that ran, rows that were still to read."""
    shop = Shop()
    shop.locks_out(shop.holds(CARS, sql, state, **by("Thread-1")), kind=kind)
    assert words in message(shop.finding())


def test_a_long_command_is_cut() -> None:
    """The command is shown on one line: it may contain a whole program."""
    shop = Shop()
    shop.locks_out(elsewhere=FileLocks((1 << 30,), (), own=False), command=["python", "-c", "import x\n" * 100])
    (sentence,) = [sentence for sentence in shop.finding().why if sentence.startswith("Process")]
    assert len(sentence) < 150
    assert "\n" not in sentence


def test_a_server_is_asked_where_others_hold_the_lock() -> None:
    """With the command or with a query, each on a line of its own."""
    shop = Shop(SHOP)
    shop.locks_out()
    asked = next(sentence for sentence in shop.finding().why if sentence.startswith("Ask the server"))
    assert f"\nwhoholds server {SHOP}\nSELECT pid, pg_blocking_pids(pid)" in asked


def test_the_cursor_that_was_not_read_is_named() -> None:
    """The report has its line, which is not the opening line."""
    shop = Shop()
    shop.locks_out(shop.holds(CARS, None, READING, **by("Thread-1"))._replace(unread=(at(USERS),)))
    finding = shop.finding()
    assert "The cursor made at /srv/shop/users.py:7 in load_users still has unread rows." in finding.why
    assert finding.advice == ("Read the result to the end (fetchall), or close the cursor.",)


def test_another_line_that_fails_is_another_finding() -> None:
    """The same line again is the same one."""
    shop = Shop()
    for line in (ASKING, ASKING, USERS):
        shop.locks_out(origin=at(line))
    assert len({finding.key for finding in shop.found(locked, AT_EXIT)}) == 2
