"""How to close a connection or give it back, in the words of the library and of the framework at hand.

Two tables hold all of it: what to write, by library and kind of handle; and when, by the kind of the owner. The usual
mistakes, which the source shows, are said with the line that makes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from whoholds.analysis.blame import library_path, user_index
from whoholds.analysis.frames import shown_path
from whoholds.analysis.mistakes import use_of
from whoholds.analysis.work import caller_of, is_a_request
from whoholds.ledger.handle import CHECKOUT
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner


class Way(NamedTuple):
    """What to write so that a handle is closed on every path, and how its transaction is ended."""

    code: str
    commit: str = "commit or roll back"
    does: str = "Close {the} connection"  # `Give {the} connection back` for a loan of a pool
    with_ends_only: bool = False  # `with connection:` ends the transaction, and does not close


READ_ALL: Final = "Read the result to the end (fetchall), or close the cursor."
ONE_IS_ENOUGH: Final = (
    "Pass the first connection to the code that asks for the second, or give the first one back beforehand."
)

_CLOSING: Final = "`with contextlib.closing({}(…)) as connection`"
_BACK: Final = "Give {the} connection back"
_DBAPI_COMMIT: Final = "`connection.commit()` or `connection.rollback()`"

# Library, as `library_of` names it → what to write. `None` stands for every library that has no row.
WAYS: Final[dict[str | None, Way]] = {
    "sqlite3": Way(_CLOSING.format("sqlite3.connect"), _DBAPI_COMMIT, with_ends_only=True),
    "psycopg2": Way(_CLOSING.format("psycopg2.connect"), _DBAPI_COMMIT, with_ends_only=True),
    "psycopg": Way("`with psycopg.connect(…) as connection`", _DBAPI_COMMIT),
    "psycopg async": Way(
        "`async with await psycopg.AsyncConnection.connect(…) as connection`",
        "`await connection.commit()` or `await connection.rollback()`",
    ),
    "asyncpg": Way("`await connection.close()` in a finally", "`async with connection.transaction()`"),
    "aiosqlite": Way(
        "`async with aiosqlite.connect(…) as connection`",
        "`await connection.commit()` or `await connection.rollback()`",
    ),
    "aiopg": Way("`async with aiopg.connect(…) as connection`", "`COMMIT` or `ROLLBACK`"),
    "aiomysql": Way("`async with aiomysql.connect(…) as connection`", "`await connection.commit()`"),
    "asyncmy": Way("`async with asyncmy.connect(…) as connection`", "`await connection.commit()`"),
    "aioodbc": Way("`async with aioodbc.connect(…) as connection`", "`await connection.commit()`"),
    "pymysql": Way(_CLOSING.format("pymysql.connect"), _DBAPI_COMMIT),
    "MySQLdb": Way(_CLOSING.format("MySQLdb.connect"), _DBAPI_COMMIT),
    "mysql.connector": Way(_CLOSING.format("mysql.connector.connect"), _DBAPI_COMMIT),
    "mariadb": Way("`with mariadb.connect(…) as connection`", _DBAPI_COMMIT),
    "pyodbc": Way(_CLOSING.format("pyodbc.connect"), _DBAPI_COMMIT, with_ends_only=True),
    "pg8000": Way(_CLOSING.format("pg8000.dbapi.connect"), _DBAPI_COMMIT),
    "django": Way(
        "`django.db.connections.close_all()` in a finally. Django closes by itself only what its requests opened in "
        "their own threads",
        "leave `transaction.atomic()`",
    ),
    "peewee": Way(
        "`with database.connection_context()`, or `database.close()` in a finally", "leave `database.atomic()`"
    ),
    "sqlalchemy": Way("`with engine.connect() as connection`", _DBAPI_COMMIT, _BACK),
    "sqlalchemy async": Way(
        "`async with engine.connect() as connection`",
        "`await connection.commit()` or `await connection.rollback()`",
        _BACK,
    ),
    "sqlalchemy session": Way(
        "`with Session(engine) as session`. A dependency that yields a session needs that, too",
        "`session.commit()` or `session.rollback()`",
        "Close {the} session",
    ),
    "sqlalchemy scoped session": Way(
        "`Session.remove()` of the scoped_session in a finally",
        "`Session.commit()`, `Session.rollback()` or `Session.remove()`",
        "Close {the} session",
    ),
    "sqlalchemy async session": Way(
        "`async with AsyncSession(engine) as session`. A dependency that yields a session needs that, too",
        "`await session.commit()` or `await session.rollback()`",
        "Close {the} session",
    ),
    "mysql.connector.pooling": Way(_CLOSING.format("pool.get_connection"), _DBAPI_COMMIT, _BACK),
    "psycopg2.pool": Way("`pool.putconn(connection)` in a finally", _DBAPI_COMMIT, _BACK),
    "psycopg_pool": Way("`with pool.connection() as connection`", _DBAPI_COMMIT, _BACK),
    "psycopg_pool async": Way(
        "`async with pool.connection() as connection`",
        "`await connection.commit()` or `await connection.rollback()`",
        _BACK,
    ),
    "asyncpg pool": Way("`async with pool.acquire() as connection`", "`async with connection.transaction()`", _BACK),
    "aiopg pool": Way("`async with pool.acquire() as connection`", "`COMMIT` or `ROLLBACK`", _BACK),
    "awaited pool": Way("`async with pool.acquire() as connection`", "`await connection.commit()`", _BACK),
    "dbutils persistent": Way(
        "let threads that come and go borrow from a PooledDB. A PersistentDB keeps a connection for each thread, whose "
        "`close()` does nothing",
        _DBAPI_COMMIT,
    ),
    "dbutils": Way(_CLOSING.format("pool.connection"), _DBAPI_COMMIT, _BACK),
    None: Way(
        "`with contextlib.closing(connect(…)) as connection`, or `connection.close()` in a finally", _DBAPI_COMMIT
    ),
}

# A connection that is open after its request, and that Django leaves to a thread which ends with that request.
_DJANGO_REQUEST: Final = Way(
    "set CONN_MAX_AGE to 0 where each request has a thread of its own, as under ASGI and runserver. With another age, "
    "Django keeps the connection for the next request of that thread, and there is none",
    "leave `transaction.atomic()`",
)
_A_POOL: Final = Way("borrow in a `with` block, or give back in a finally", _DBAPI_COMMIT, _BACK)  # without a row

# Owner, as `world_of` names it → when it must be closed.
WHEN: Final = {
    "request": "before its request ends, also when the view raises an exception",
    "queued": "before its task returns, also when the task raises an exception",
    "command": "before its command returns, also when the command raises an exception",
    "test": "before its test ends, in the test or behind the `yield` of a fixture",
    "task": "before its task ends, also when the task fails or is cancelled",
    "job": "at the end of each job, also when the job fails",
    "greenlet": "before its greenlet ends, also when the greenlet fails",
    "process": "before its process ends, also when an exception passes",
    "thread": "before its thread ends, also when an exception passes",
    "": "in the function that opened it, also when an exception passes",
}
_SCOPES: Final = {"request": "request", "task": "queued", "command": "command", "test": "test", "fixture": "test"}
_JOBS: Final = {"task": "queued", "job": "job"}  # what a library calls in a thread that goes on to the next one
_FRAMEWORKS: Final = {  # by their folders and files
    "django": ("django/db/",),
    "peewee": ("peewee.py", "playhouse/"),
    "dbutils persistent": ("dbutils/persistent_db.py",),
}
_AWAITS: Final = {  # driver → the row for its pool, or for its asynchronous half
    "aiomysql": "awaited pool",
    "aioodbc": "awaited pool",
    "aiopg": "aiopg pool",
    "asyncmy": "awaited pool",
    "mariadb": "mysql.connector.pooling",
    "asyncpg": "asyncpg pool",
    "psycopg": "psycopg async",
    "psycopg_pool": "psycopg_pool async",
    "sqlite3": "aiosqlite",
}
_AWAITED: Final = re.compile(r"\b(?:await|async with)\b")


def how_to_close(group: Sequence[Handle], *, may_come: bool = False) -> tuple[str, ...]:
    """The advice for handles that were not given back: the mistake that the source shows, if any, and what to write.

    `may_come` says that the functions which opened them may still run, and come to their closes.
    """
    way = way_of(group[0])
    what = way.does.format(the="the" if len(group) == 1 else "each")
    return (*mistake(group, may_come=may_come), f"{what} {WHEN[world_of(group[0])]}: {way.code}.")


def how_to_hold(group: Sequence[Handle]) -> tuple[str, ...]:
    """The advice for handles that are held longer than they are used."""
    way = way_of(group[0])
    return (f"{way.does.format(the='the' if len(group) == 1 else 'each')} as soon as its work is done: {way.code}.",)


def how_to_commit(group: Sequence[Handle]) -> tuple[str, ...]:
    """The advice for transactions that are left open."""
    commit = way_of(group[0]).commit
    return (f"End the transaction right after the last statement, also after a SELECT ({commit}), or use autocommit.",)


def how_to_fork(handle: Handle) -> str:
    """The advice for a connection that was opened before a fork and used in the child."""
    if any(path.startswith("sqlalchemy/") for path in _paths_between(handle)):
        return (
            "In the child, call `engine.dispose(close=False)` before the engine is used: in a worker's start hook, "
            "such as gunicorn's `post_fork`. With an AsyncEngine, that is `engine.sync_engine.dispose(close=False)`."
        )
    return "Connect after the fork: in a worker's start hook, or lazily in the child."


def way_of(handle: Handle) -> Way:
    """What to write for this handle, by its library."""
    library = library_of(handle)
    if handle.kind != CHECKOUT:
        of_a_request = library == "django" and is_a_request(handle.owner)
        return _DJANGO_REQUEST if of_a_request else WAYS.get(library, WAYS[None])
    way = WAYS.get(library, _A_POOL)
    return way if way.does != Way("").does else way._replace(does=_BACK)  # a pool below Django or peewee


def library_of(handle: Handle) -> str:
    """The key of `WAYS` for the library, or the framework, through which the program opened the handle."""
    paths = _paths_between(handle)
    for framework, folders in _FRAMEWORKS.items():
        if any(path.startswith(folders) for path in paths):
            return framework
    driver = handle.driver
    if driver == "sqlalchemy":
        in_async = any(path.startswith("sqlalchemy/ext/asyncio/") for path in paths)
        session = bool(handle.made) or any(path.startswith("sqlalchemy/orm/") for path in paths)
        if "sqlalchemy/orm/scoping.py" in (*paths, *_paths(handle.made)):
            return "sqlalchemy scoped session"
        return f"sqlalchemy{' async' * in_async}{' session' * session}"
    in_a_thread = handle.owner is not None and (handle.owner.kind == "job" or handle.owner.part_of is not None)
    is_awaited = handle.site is not None and not in_a_thread and _AWAITED.search(handle.site.frame.source) is not None
    awaits = {
        **dict.fromkeys(("aiomysql", "aioodbc", "aiopg", "asyncmy", "mariadb"), handle.kind == CHECKOUT),
        "asyncpg": handle.kind == CHECKOUT,
        "psycopg": "psycopg/connection_async.py" in paths,
        "psycopg_pool": is_awaited or any(path.endswith("pool_async.py") for path in paths),
        "sqlite3": handle.asker is not None,
    }
    return _AWAITS[driver] if awaits.get(driver) else driver


def _paths_between(handle: Handle) -> list[str]:
    """The paths, from their packages, of the library frames between the driver and the opening line."""
    return _paths(handle.origin)


def _paths(origin: Origin) -> list[str]:
    if not origin:
        return []
    return [library_path(code.co_filename) for code in origin[: user_index(origin) + 2 : 2]]  # type: ignore[union-attr]


def world_of(handle: Handle) -> str:
    """The key of `WHEN`: the request, job or test in which the handle was opened, else what kind of owner opened it.

    The main thread of a worker process goes from job to job as a thread of an executor does.
    """
    if handle.scope is not None and handle.scope.kind in _SCOPES:
        return _SCOPES[handle.scope.kind]
    owner = handle.owner
    if owner is not None and owner.kind == "thread":
        called = caller_of(handle)
        if called is not None and called.kind in _JOBS:
            return _JOBS[called.kind]
    if owner is None or (owner.kind == "thread" and owner.spawn is None):
        return ""
    if is_a_request(owner):
        return "request"
    if owner.kind == "thread" and shown_name(owner.name) == "MainThread":  # of a process that the program started
        return "process"
    return owner.kind if owner.kind in WHEN else ""


def mistake(group: Sequence[Handle], *, may_come: bool = False) -> tuple[str, ...]:
    """A sentence on the mistake that the function of the opening line makes, if its source shows one.

    A close to which the function `may_come` is no mistake, unless one of the group shows that a close was passed by.
    """
    handle = group[0]
    if handle.site is None or not handle.origin:
        return ()
    use = use_of(handle.site, handle.origin)
    if use is None:
        return ()
    way, path = way_of(handle), shown_path(use.file)
    if use.within and way.with_ends_only:
        name = use.name or "connection"
        return (f"`with {name}:` at {path}:{use.within} ends the transaction and does not close the connection.",)
    if use.closed and (not may_come or _passed_by(group)):
        passed = "an exception, an early return, an `if` or a loop passes it by"
        return (f"The close at {path}:{use.closed} has not run: {passed}.",)
    return ()


def _passed_by(group: Sequence[Handle]) -> bool:
    """Whether a function that opened one of these is certainly over, or has come back to its opening line.

    Its thread, task or job has ended and left the handle open, or has opened the next one with the same stack.
    """
    last: dict[Owner | None, Origin] = {}
    for handle in group:
        owner = handle.owner
        over_at = None if owner is None else owner.ended_at if owner.job_over_at is None else owner.job_over_at
        if over_at is not None and (handle.closed_at is None or over_at < handle.closed_at):
            return True
        if last.get(owner) == handle.origin:
            return True
        last[owner] = handle.origin
    return False
