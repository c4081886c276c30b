"""What the `.pth` line imports when WHOHOLDS is set: it waits for the first library that concerns us.

Until then it has imported neither typing nor threading nor asyncio, let alone wrapt or OpenTelemetry.
"""

import os

from whoholds.hooks import imports as waiting

OFF = ("", "0", "false", "off", "no")

# What brings the watch up: the libraries that `startup.DRIVERS` watches (a test holds the two together).
LIBRARIES = (
    "sqlite3",
    "psycopg2",
    "psycopg",
    "psycopg_pool",
    "asyncpg",
    "aiosqlite",
    "pymysql",
    "MySQLdb",
    "mysql.connector",
    "pg8000",
    "sqlalchemy",
    "django.db.backends.base.base",
    "dbutils",
    "peewee",
    "pyodbc",
    "pymssql",
    "oracledb",
    "duckdb",
)


def _start(module: object) -> None:  # noqa: ARG001 - which one it was makes no difference
    waiting.forget(_start)
    from whoholds import startup

    startup.from_environment()


def begin() -> None:
    """Wait, if the environment asks for it; twice is once (in a virtual environment a .pth can run twice)."""
    if os.environ.get("WHOHOLDS", "").strip().lower() not in OFF:
        from whoholds.hooks import exits as leaving
        from whoholds.hooks import spawning as spawn

        # at once, so that a thread started before the first database library is imported has its spawn line
        spawn.watch()
        # first of all, hence last: what the program's own handlers close at its end is closed when we look
        leaving.watch()
        for name in LIBRARIES:
            waiting.when_imported(name, _start)


begin()
