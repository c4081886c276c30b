"""How the versions of each library are tried: what pip installs, on which Python, and which tests are run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.test_examples import EXPECTED
from whoholds.drivers.versions import FOUNDATIONS, LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Mapping

DRIVERS = ("tests/drivers", "tests/test_examples.py", "--ignore=tests/drivers/test_versions.py")
OPENTELEMETRY = "opentelemetry-api=={0} opentelemetry-sdk=={0} opentelemetry-exporter-otlp=={0}"
CONTRIB = " ".join(  # of the same release as 1.30.0
    f"opentelemetry-{part}==0.51b0"
    for part in "distro exporter-prometheus instrumentation-psycopg2 instrumentation-sqlalchemy instrumentation-sqlite3".split()
)
EVERY = {**LIBRARIES, **FOUNDATIONS}


@dataclass(frozen=True)
class Way:
    """How one version is had and run: pip's requirements, with {} for the version, and a Python, where not any will do.

    `without` names the tests that it cannot pass, as pytest's -k does; their reason stands beside it.
    """

    requires: str
    python: str = ""
    without: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One version of a library, the way to it, and pytest's arguments."""

    library: str
    version: str
    way: Way
    tests: tuple[str, ...]

    @property
    def requirements(self) -> list[str]:
        """What pip installs."""
        return self.way.requires.format(self.version).split()


@dataclass(frozen=True)
class Row:
    """The versions of one library.

    `picks` chooses the tests among `files`, as pytest's -k does; the examples that import the library are added.
    `between` are versions that are tried beside the oldest and the newest.
    """

    library: str
    picks: str
    usual: Way
    oldest: Way | None = None
    newest: Way | None = None
    between: tuple[str, ...] = ()
    files: tuple[str, ...] = DRIVERS

    def trials(self) -> list[Trial]:
        """The oldest version, those between, and the newest."""
        known = EVERY[self.library]
        ways = [
            (known.oldest, self.oldest),
            *((version, None) for version in self.between),
            (known.newest, self.newest),
        ]
        ways = [(version, way or self.usual) for version, way in ways]
        return [Trial(self.library, version, way, self._tests(way)) for version, way in ways]

    def _tests(self, way: Way) -> tuple[str, ...]:
        imported = self.library.lower()
        examples = [name.split()[-1] for name, said in EXPECTED.items() if imported in said.get("needs", ["psycopg2"])]
        picks = " or ".join((self.picks, *examples))
        return ("-k", f"({picks}) and not ({way.without})" if way.without else picks, *self.files)


MATRIX = {
    row.library: row
    for row in (
        Row("aiomysql", "aiomysql", Way("aiomysql=={}")),
        Row("aioodbc", "aioodbc", Way("aioodbc=={}")),
        Row("aiopg", "aiopg", Way("aiopg=={}")),
        Row("aiosqlite", "aiosqlite", Way("aiosqlite=={}")),
        Row("asyncmy", "asyncmy", Way("asyncmy=={}")),
        Row("asyncpg", "asyncpg", Way("asyncpg=={}")),
        Row("DBUtils", "dbutils or (test_pools and not peewee)", Way("DBUtils=={}")),
        Row(
            "Django",
            "django",
            Way("Django=={}"),
            oldest=Way("Django=={}", without="django_bug"),  # too few of its connections outlive their threads
            newest=Way("Django=={}", python="3.13"),
        ),
        Row("mariadb", "[mariadb or MariaDBPool", Way("mariadb=={}")),
        Row(
            "mysql-connector-python",
            "mysql.connector or mysql_connector or MySQLConnectorPool",
            Way("mysql-connector-python=={}"),
            newest=Way("mysql-connector-python=={}", python="3.14"),  # its C part needs OpenSSL 3.2
            between=("8.4.0", "9.7.0"),
        ),
        Row("mysqlclient", "mysqldb", Way("mysqlclient=={}")),
        Row(
            "opentelemetry-api",
            "otel",
            Way(OPENTELEMETRY),
            # its log records have an event name among the attributes only; it logs each failed export, and spans after its end
            oldest=Way(
                f"{OPENTELEMETRY} {CONTRIB}",
                without="trace_at_the_collector or end_of_the_process_is or hold_up_the_end or shut_down_by_the_program",
            ),
            files=("tests/outputs",),
        ),
        Row("peewee", "peewee", Way("peewee=={}")),
        Row("pg8000", "pg8000", Way("pg8000=={}")),
        Row(
            "psycopg",
            "psycopg and not psycopg2",
            Way("psycopg[binary]=={}"),
            oldest=Way("psycopg=={}", variables={"PSYCOPG_IMPL": "python"}),
        ),
        Row("psycopg2", "psycopg2", Way("psycopg2-binary=={}"), oldest=Way("psycopg2=={}", python="3.10")),
        Row("psycopg_pool", "psycopg_pool or psycopgpool or psycopg_s", Way("psycopg-pool=={}")),
        Row("PyMySQL", "pymysql", Way("PyMySQL=={}")),
        Row("pyodbc", "pyodbc or aioodbc", Way("pyodbc=={}"), oldest=Way("pyodbc=={}", python="3.10")),
        Row(
            "SQLAlchemy",
            "sqlalchemy",
            Way("SQLAlchemy[asyncio]=={}"),
            oldest=Way("SQLAlchemy[asyncio]=={}", without="test_examples"),  # they are written for 2.0
            between=("2.0.0",),
        ),
        Row("wrapt", "watch_module or other_libraries or pyodbc or aioodbc", Way("wrapt=={}")),
    )
}
