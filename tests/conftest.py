"""What every test may ask for: real servers, started once for the session that needs them.

Locally a test whose server is not installed is skipped, with the reason; where `CI` is set it fails.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests import servers
from tests.inner import suite  # noqa: F401 - a fixture
from tests.needs import lacking
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

T = TypeVar("T")

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Register our markers."""
    once = "once: says nothing new on another Python; there only `python -m tests --every-python` runs it"
    config.addinivalue_line("markers", once)
    for name in ("FORCE_COLOR", "NO_COLOR"):  # a CI sets them for its own log; tests read plain text
        os.environ.pop(name, None)
    for name in ("SIGQUIT", "SIGHUP"):  # ignored in a shell's background or under nohup, and so by the tests' programs
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(autouse=True)
def first_watch() -> None:
    """Let each test begin as a process does: its watch is the first, and goes on from none."""
    Ledger.latest = None


@pytest.fixture(autouse=True)
def _faults_of_its_own() -> None:
    """Forget the faults that another test brought about and no look has told: the next look would name them here."""
    faults.take()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL, as its superuser; WHOHOLDS_TEST_PG_DSN where that is set."""
    with _installed(servers.postgres()) as dsn:
        yield dsn


@pytest.fixture(scope="session", params=["session", "transaction"])
def pgbouncer(request: pytest.FixtureRequest, postgres: str) -> Iterator[str]:
    """Give the URL of a PgBouncer before `postgres`, once in each of the two pool modes."""
    with _installed(servers.pgbouncer(postgres, pool_mode=request.param)) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.MySQLArguments]:
    """Give the connection arguments of a MariaDB, for a user who is no administrator."""
    with _installed(servers.mariadb()) as arguments:
        yield arguments


@contextmanager
def _installed(server: AbstractContextManager[T]) -> Iterator[T]:
    """Start the server; where its programs are missing skip the test, or fail it in CI."""
    try:
        started = server.__enter__()
    except servers.NotInstalledError as missing:
        lacking(missing)
    try:
        yield started
    finally:
        server.__exit__(None, None, None)
