"""What is known of a handle's open transaction: the statements run in it, since when, and whether it wrote.

Read from the handle's ring, which has its last calls only; asked where a statement was locked out, never at a statement
that succeeds. Any thread may ask: nothing here calls the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.ledger.handle import RING

if TYPE_CHECKING:
    from whoholds.ledger.handle import Handle

_BEGINS = frozenset(("BEGIN", "START"))
_SQLITE_BEGINS = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE"))
_ENDS = frozenset(("COMMIT", "END", "ROLLBACK", "ABORT"))
_READS = frozenset("SELECT PRAGMA EXPLAIN SHOW VALUES FETCH SET DESCRIBE SAVEPOINT RELEASE".split())
_TAKES_LOCKS = ("IMMEDIATE", "EXCLUSIVE")  # sqlite: BEGIN takes the lock at once
_LOOK = 200  # characters of a statement in which its first words stand


class Begun(NamedTuple):
    """An open transaction, as far as the handle's last calls tell."""

    statements: tuple[Any, ...]  # run in it, oldest first: text, bytes, or None where the text is not known
    at: float  # seconds of the ledger's clock, when the first of these began
    whole: bool  # whether that one began the transaction; if not, it has been open for longer
    wrote: bool  # whether it took more than the locks of a reader, or may have done so before these statements

    @property
    def has_locks(self) -> bool:
        """Whether it has run anything but a BEGIN that takes no lock."""
        return self.wrote or any(first_words(sql)[0] not in _BEGINS for sql in self.statements)


def begun(handle: Handle) -> Begun:
    """The open transaction of `handle`, or the one that ended just now; of a loan, that of its connection.

    A call without a statement, such as a commit, leaves its place in the ring as it was. Such a place is older than
    one before it, and what came before the call belongs to another transaction.
    """
    inner = handle.parent or handle
    ring, calls = list(inner.ring), inner.calls
    last = [ring[(calls - 1 - back) % RING] for back in range(min(RING, calls))] if ring else []
    run: list[tuple[Any, float, float]] = []
    whole = calls <= RING
    for back, statement in enumerate(last):
        if statement is None or any(older is not None and older[1] > statement[1] for older in last[back + 1 :]):
            if inner.driver == "asyncpg" or not (run or inner.in_transaction):
                continue  # asyncpg's commits are statements; or it is this one that has ended
            whole = True
            break
        words = first_words(statement[0])
        if words[0] in _ENDS and "TO" not in words:
            if not (run or inner.in_transaction):
                continue
            whole = True
            break
        run.append(statement)
        if words[0] in _BEGINS:
            whole = True
            break
    run.reverse()
    if inner.database.system == "sqlite":
        run = _from_its_begin(run)
    wrote = not whole or any(map(writes, [sql for sql, _, _ in run]))
    return Begun(tuple(sql for sql, _, _ in run), run[0][1] if run else inner.used_at, whole and bool(run), wrote)


def _from_its_begin(run: list[tuple[Any, float, float]]) -> list[tuple[Any, float, float]]:
    """Without what ran before the statement with which sqlite3 begins a transaction: no query, no CREATE TABLE does."""
    first = first_words(run[0][0])[0] if run else ""
    if first in _BEGINS:
        return run
    for begins in (_is_dml, writes):
        for place, (sql, _, _) in enumerate(run):
            if begins(sql):
                return run[place:]
    return run


def _is_dml(sql: Any) -> bool:
    return first_words(sql)[0] in _SQLITE_BEGINS


def writes(sql: Any) -> bool:
    """Whether the statement takes more than the locks of a reader. One whose text is not known may do so."""
    words = first_words(sql)
    if words[0] in _BEGINS:
        return any(word in _TAKES_LOCKS for word in words)
    if words[0] == "SELECT":
        text = sql[-_LOOK:].upper()
        return any(lock in text for lock in ((b" FOR ",) if isinstance(text, bytes) else (" FOR ",)))
    if words[0] == "WITH":
        text = sql.upper()
        return any(verb in text for verb in ("INSERT", "UPDATE", "DELETE")) if isinstance(text, str) else True
    return words[0] not in _READS


def first_words(sql: Any) -> list[str]:
    """The first words of a statement in capitals, comments before them left out; [""] where there are none."""
    if type(sql) is bytes:
        sql = sql[:_LOOK].decode("utf-8", "replace")
    if type(sql) is not str:
        return [""]
    text = sql[:_LOOK].lstrip(" \t\r\n(;")
    while text[:2] in ("--", "/*"):
        text = text.partition("\n" if text[:2] == "--" else "*/")[2].lstrip(" \t\r\n(;")
    return text.upper().replace(";", " ").split(None, 5)[:5] or [""]
