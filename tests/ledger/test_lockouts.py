"""What is known of a transaction from the last calls of its connection, and of locks from /proc/locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import FILE, SHOP, World
from whoholds.ledger import file_locks
from whoholds.ledger.database import Database
from whoholds.ledger.file_locks import identity, locks_on, same_database
from whoholds.ledger.handle import RING, Handle
from whoholds.ledger.transactions import begun, first_words, writes

if TYPE_CHECKING:
    from pathlib import Path


def used(*calls: str | None, to: Database = SHOP, in_transaction: bool = True, driver: str = "psycopg2") -> Handle:
    """Give a handle with these calls, a second apart; None is one without a statement, such as a commit."""
    handle = World().opens(to=to, driver=driver)
    handle.ring = [None] * RING
    for number, sql in enumerate(calls):
        if sql is not None:
            handle.ring[number % RING] = (sql, float(number), 0.5)
    handle.calls = len(calls)
    handle.in_transaction = in_transaction
    return handle


@pytest.mark.parametrize(
    ("calls", "statements", "since", "whole"),
    [
        (("INSERT a",), ("INSERT a",), 0.0, True),
        (("INSERT a", None, "INSERT b"), ("INSERT b",), 2.0, True),
        (("INSERT a", None, "INSERT b", None, "INSERT c", None, "INSERT d"), ("INSERT d",), 6.0, True),
        (("SELECT a", "UPDATE b"), ("SELECT a", "UPDATE b"), 0.0, True),
        (("UPDATE a", "COMMIT", "UPDATE b"), ("UPDATE b",), 2.0, True),
        (("UPDATE a", "BEGIN", "UPDATE b"), ("BEGIN", "UPDATE b"), 1.0, True),
        (
            ("UPDATE a", "ROLLBACK TO SAVEPOINT x", "UPDATE b"),
            ("UPDATE a", "ROLLBACK TO SAVEPOINT x", "UPDATE b"),
            0.0,
            True,
        ),
        (tuple(f"INSERT {n}" for n in range(9)), tuple(f"INSERT {n}" for n in range(4, 9)), 4.0, False),
        ((None, None, None), (), 0.0, False),
    ],
)
def test_a_transaction_begins_after_the_last_call_without_a_statement(
    calls: tuple[str | None, ...],
    statements: tuple[str, ...],
    since: float,
    whole: bool,  # noqa: FBT001 - of pytest
) -> None:
    """Or with a BEGIN, or after a COMMIT; longer than the ring, it has been open for longer than is known."""
    found = begun(used(*calls))
    assert (found.statements, found.whole) == (statements, whole)
    assert not statements or found.at == since


def test_sqlite3_begins_a_transaction_with_the_first_statement_that_writes() -> None:
    """What was read before that has ended already."""
    assert begun(used("SELECT a", "PRAGMA b", "INSERT c", "SELECT d", to=FILE)).statements == ("INSERT c", "SELECT d")
    assert begun(used("CREATE TABLE a", "INSERT c", to=FILE)).statements == ("INSERT c",)
    assert begun(used("SELECT a", "DROP TABLE b", to=FILE)).statements == ("DROP TABLE b",)
    assert begun(used("BEGIN", "SELECT d", to=FILE)).statements == ("BEGIN", "SELECT d")
    assert not begun(used("BEGIN", "SELECT d", to=FILE)).wrote
    assert begun(used("BEGIN IMMEDIATE", to=FILE)).wrote


def test_a_call_without_a_statement_ends_no_transaction_of_asyncpgs() -> None:
    """There it is a cursor's fetch; commits are statements."""
    assert begun(used("BEGIN", "SELECT a", None, "UPDATE b", driver="asyncpg")).statements == (
        "BEGIN",
        "SELECT a",
        "UPDATE b",
    )


def test_one_that_has_just_ended_is_told_all_the_same() -> None:
    """The survivor of a deadlock goes on at once, so its transaction may have ended."""
    found = begun(used("UPDATE x", None, "UPDATE a", "UPDATE b", None, in_transaction=False))
    assert found.statements == ("UPDATE a", "UPDATE b")


@pytest.mark.parametrize(
    ("sql", "wrote"),
    [
        ("INSERT INTO a VALUES (1)", True),
        (" /* app:web */ -- x\n update a set b = 1", True),
        (b"delete from a", True),
        ("SELECT a FROM b", False),
        ("SELECT a FROM b FOR UPDATE", True),
        ("WITH a AS (DELETE FROM b RETURNING 1) SELECT * FROM a", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", False),
        ("BEGIN", False),
        ("BEGIN EXCLUSIVE", True),
        ("PRAGMA user_version", False),
        (None, True),
        ("", True),
    ],
)
def test_which_statements_take_a_writers_lock(sql: Any, wrote: bool) -> None:  # noqa: FBT001 - of pytest
    """One whose text is not known may do so."""
    assert writes(sql) is wrote


def test_the_first_words_leave_out_comments() -> None:
    """There may be any number of them; one that is not closed leaves no words."""
    assert first_words("/* a */ /* b */ (Select 1") == ["SELECT", "1"]
    assert first_words("/* never closed") == [""]


def test_two_names_lead_to_one_database(tmp_path: Path) -> None:
    """A file by its identity; a server's by host, port and name, whoever asks."""
    (tmp_path / "a.db").touch()
    (tmp_path / "b.db").symlink_to("a.db")
    a, b = (Database("sqlite", name=str(tmp_path / name)) for name in ("a.db", "b.db"))
    assert same_database(a, b)
    assert not same_database(a, Database("sqlite", name=str(tmp_path / "c.db")))
    assert same_database(SHOP, Database("postgresql", "other", "127.0.0.1", 5432, "shop"))
    assert not same_database(SHOP, Database("postgresql", "app", "127.0.0.1", 5433, "shop"))
    assert not same_database(SHOP, Database("postgresql", "app", "127.0.0.1", 5432, "stock"))
    memory = [Database("sqlite", name=":memory:", private=True) for _ in range(2)]
    assert not same_database(*memory)


LINES = """\
1: POSIX  ADVISORY  WRITE 11 {device}:{inode} 1073741825 1073741825
2: POSIX  ADVISORY  READ 12 {device}:{inode} 1073741826 1073742335
3: POSIX  ADVISORY  WRITE 13 {device}:{inode} 0 0
3: -> POSIX  ADVISORY  WRITE 14 {device}:{inode} 1073741825 1073741825
4: FLOCK  ADVISORY  WRITE 15 {device}:{inode} 0 EOF
5: POSIX  ADVISORY  WRITE 16 ff:ff:{inode} 0 EOF
6: POSIX  ADVISORY  WRITE 0 {device}:{inode} 1073741825 1073741825
7: a line of another kernel
"""


def test_who_writes_and_who_reads_is_read_from_proc_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By device and inode, and by the bytes that sqlite locks; who waits holds nothing."""
    path = tmp_path / "shop.db"
    path.touch()
    known = identity(str(path))
    assert known is not None
    device = f"{known[0] >> 8 & 0xFFF:02x}:{known[0] & 0xFF | known[0] >> 12 & 0xFFF00:02x}"
    (tmp_path / "locks").write_text(LINES.format(device=device, inode=known[1]))
    monkeypatch.setattr(file_locks, "PROC_LOCKS", str(tmp_path / "locks"))
    found = locks_on(str(path))
    assert found is not None
    assert (found.writers, found.readers, found.own) == ((11,), (12,), False)
    (tmp_path / "shop.db-shm").touch()  # in WAL mode readers are in nobody's way
    found = locks_on(str(path))
    assert found is not None
    assert found.readers == ()
    (tmp_path / "locks").unlink()
    assert locks_on(str(path)) is None
    assert locks_on(str(tmp_path / "none.db")) is None
