"""The libraries of the contract, each with its server and a table that it can write."""

from __future__ import annotations

import contextlib
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.drivers.libraries import (
    ALL,
    Aiomysql,
    Aioodbc,
    Aiopg,
    Asyncmy,
    DuckDB,
    Library,
    MariaDB,
    MySQLConnectorPure,
    MySQLdb,
    Pyodbc,
    maybe,
)
from tests.needs import not_installed
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

if find_spec("_mysql_connector"):
    # It brings libstdc++, which needs room in each thread that is reserved at its loading: after all that the
    # other tests load there may be none ("cannot allocate memory in static TLS block").
    with contextlib.suppress(ImportError):  # a test that needs it says why
        import_module("_mysql_connector")


# Each has most of its driver in common with another of these libraries, which runs on each Python.
RUN_ONCE = (Aiopg, Aiomysql, Asyncmy, MySQLdb, MariaDB, MySQLConnectorPure, Pyodbc, Aioodbc, DuckDB)
EACH = [pytest.param(kind, marks=pytest.mark.once) if kind in RUN_ONCE else kind for kind in ALL]


@pytest.fixture(params=EACH, ids=lambda library: library.name)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    """Give each library in turn, its server running and a table `contract` in it."""
    kind: type[Library] = request.param
    return made(kind, request, tmp_path)


def made(kind: type[Library], request: pytest.FixtureRequest, folder: Path) -> Library:
    """Give one library, its server running and a table `contract` in it."""
    if not kind.there():
        not_installed(kind.part or kind.module)
    library = kind(request.getfixturevalue(kind.fixture) if kind.fixture else folder)
    library.go(_table(library))
    return library


async def _table(library: Library) -> None:
    connection = await maybe(library.connect())
    for sql in (
        "DROP TABLE IF EXISTS contract",
        "CREATE TABLE contract (a integer)" + (" ENGINE=InnoDB" if library.system == "mysql" else ""),
        "INSERT INTO contract VALUES (1)",
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # aiomysql shows the server's: there was no such table
            await maybe(library.run(connection, sql))
    if library.name not in ("asyncpg", "aiopg"):  # they commit by themselves
        await maybe(library.commit(connection))
    await maybe(library.close(connection))


@pytest.fixture
def watched(library: Library) -> Iterator[Callable[[], Watch]]:
    """Give what starts a Watch with the library's driver, and only that; it ends with the test, without a fault of ours."""
    faults.take()
    started: list[Watch] = []

    def start() -> Watch:
        watch = Watch(ledger=Ledger(), detectors={}, drivers=library.drivers())
        started.append(watch.start())
        assert not watch.failed
        return watch

    yield start
    noted = faults.take()
    for watch in started:
        watch.stop()
    assert noted == []
