"""What an exception of a library means: the server or its pooler has no room, or somebody holds a lock.

Asked in the user's thread, of exceptions only, and without I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.ledger.lockout import DEADLOCK, SNAPSHOT, UNREAD, WAITED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised

# What servers and poolers say when there are too many connections; libpq gives no SQLSTATE at connect.
_REFUSALS = (
    "too many clients already",
    "remaining connection slots are reserved",
    "too many connections",
    "sorry, too many",
    "no more connections allowed",
    "max_client_conn",
    "max client connections reached",
    "query_wait_timeout",
    "has exceeded the 'max_user_connections'",
    "already has more than 'max_user_connections'",
)
_REFUSAL_CODES = frozenset(("53300", "1040", "1203", "1226"))

# PostgreSQL: lock_not_available (lock_timeout, NOWAIT) and deadlock_detected.
_POSTGRESQL_LOCKS = {"55P03": WAITED, "40P01": DEADLOCK}
# MySQL and MariaDB: ER_LOCK_WAIT_TIMEOUT, ER_LOCK_NOWAIT and ER_LOCK_DEADLOCK; their words, for other libraries.
_MYSQL_LOCKS = {1205: WAITED, 3572: WAITED, 1213: DEADLOCK}
_MYSQL_WORDS = ("Lock wait timeout exceeded", "Deadlock found when trying to get lock", "NOWAIT is set")
# sqlite's result codes, of which the low byte is the primary one: https://www.sqlite.org/rescode.html
_BUSY, _LOCKED, _BUSY_SNAPSHOT, _PRIMARY = 5, 6, 517, 0xFF
_SQLITE_WORDS = ("database is locked", "database table is locked", "database schema is locked")


def is_refusal(exc: Raised) -> bool:
    """Whether a server or its pooler says with `exc` that there are too many connections."""
    code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None) or (exc.args[0] if exc.args else None)
    if isinstance(code, int | str) and str(code) in _REFUSAL_CODES:
        return True
    return any(words in text for text in _texts(exc) for words in _REFUSALS)


def _texts(exc: Raised) -> Iterator[str]:
    """What `exc` says, in lower case. `str(exc)` might run code of the program's."""
    for each in exc.args:
        for text in each.values() if type(each) is dict else (each,):  # pg8000's is a dictionary
            if isinstance(text, str):
                yield str.lower(text)


def lock_of(exc: Raised, system: str) -> str:
    """Why a lock made a statement fail with `exc`: one of the kinds of `ledger.lockouts`; "" if no lock did."""
    if system == "sqlite":
        return _lock_of_sqlite(exc)
    first = exc.args[0] if exc.args else None
    code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    if code is None and type(first) is dict:  # pg8000
        code = first.get("C")
    if type(code) is str and code in _POSTGRESQL_LOCKS:
        return _POSTGRESQL_LOCKS[code]
    number = first if type(first) is int else getattr(exc, "errno", None)  # the latter of mariadb's
    if type(number) is int and number in _MYSQL_LOCKS and (system in ("mysql", "mariadb") or _says(exc, _MYSQL_WORDS)):
        return _MYSQL_LOCKS[number]
    return ""


def _lock_of_sqlite(exc: Raised) -> str:
    if type(exc).__name__ != "OperationalError":
        return ""
    code = getattr(exc, "sqlite_errorcode", None)  # since 3.11
    if type(code) is int:
        if code == _BUSY_SNAPSHOT:
            return SNAPSHOT
        return UNREAD if code == _LOCKED else WAITED if code & _PRIMARY in (_BUSY, _LOCKED) else ""
    if not _says(exc, _SQLITE_WORDS):
        return ""
    return UNREAD if exc.args[0] == _SQLITE_WORDS[1] else WAITED  # in a shared cache it names the table


def _says(exc: Raised, words: tuple[str, ...]) -> bool:
    text = exc.args[-1] if exc.args else None
    return type(text) is str and any(each in text for each in words)
