"""`whoholds server`: real servers whose connections are known, and what the command says of them."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests import servers
from tests.conftest import _installed
from tests.needs import needed
from tests.processes.leaks import posix
from whoholds.commands.cli import main
from whoholds.commands.server import server
from whoholds.servers import mysql
from whoholds.servers.asking import asked
from whoholds.servers.blocking import trees_of
from whoholds.servers.libraries import connected, finished
from whoholds.servers.mysql import TRANSACTIONS
from whoholds.servers.postgres import BEGIN
from whoholds.servers.state import HOLDING, IDLE, IDLE_IN_TRANSACTION, RUNNING, WAITING, Limit, Session, State
from whoholds.servers.target import target_of
from whoholds.servers.telling import as_data, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LINE = "shop.py: shop/cars.py:42 load_cars"
PASSWORD = "s3cr:et@"  # noqa: S105 - of a server that lives as long as the test


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Give the URL of a PostgreSQL with 20 slots that asks for a password, with a role `limited` that may have 2."""
    psycopg2 = needed("psycopg2")
    with _installed(servers.postgres(password=PASSWORD, max_connections=20)) as dsn:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE ROLE limited LOGIN CONNECTION LIMIT 2 PASSWORD '{PASSWORD}'")
        cursor.execute("CREATE TABLE cars (a integer)")
        cursor.execute("INSERT INTO cars VALUES (1)")
        connection.close()
        yield dsn


@pytest.fixture(scope="module")
def mariadb() -> Iterator[servers.MySQLArguments]:
    """Give a MariaDB that keeps the attributes of its connections, with a table."""
    pymysql = needed("pymysql")
    with _installed(servers.mariadb(settings={"performance_schema": "ON"})) as arguments:
        connection = pymysql.connect(**arguments, autocommit=True)
        connection.cursor().execute("CREATE TABLE cars (a integer) ENGINE=InnoDB")
        connection.cursor().execute("INSERT INTO cars VALUES (1)")
        connection.close()
        yield arguments


@contextmanager
def blocking(connect: Callable[[], Any], waits: str) -> Iterator[None]:
    """Two connections to a server: one has changed a row and is idle, the other waits for it. `waits` sees that it does."""
    with ExitStack() as end:
        first, second, looking = connect(), connect(), connect()
        looking.autocommit = True
        first.cursor().execute("UPDATE cars SET a = 2")
        thread = threading.Thread(target=second.cursor().execute, args=("UPDATE cars SET a = 3",))
        thread.start()
        end.callback(second.close)
        end.callback(thread.join)
        end.callback(first.rollback)
        cursor = looking.cursor()
        while True:
            cursor.execute(waits)
            if cursor.fetchone()[0]:
                break
        looking.close()
        yield


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run the command, and give what it printed; the password is in none of it."""
    assert main(["server", *arguments]) == code
    captured = capsys.readouterr()
    text = captured.out if code == 0 else captured.err
    assert PASSWORD not in captured.out + captured.err
    assert quote(PASSWORD, safe="") not in captured.out + captured.err
    return text


POSTGRES_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
MYSQL_WAITS = "SELECT count(*) FROM information_schema.processlist WHERE state = 'Updating'"


def test_who_holds_and_who_blocks(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows who is idle in a transaction first, then lines, slots, reserved slots, limits, and untagged connections."""
    psycopg2 = needed("psycopg2")

    def tagged() -> Any:
        return psycopg2.connect(guarded, application_name=LINE)

    crons = [psycopg2.connect(guarded, application_name="cron") for _ in range(3)]
    with blocking(tagged, POSTGRES_WAITS):
        text = said(capsys, guarded)
        data = json.loads(said(capsys, guarded, "--json"))
    first, *lines = text.splitlines()
    assert first.endswith(
        "6 of 20 connections are in use, this one included; 11 are free, 3 are reserved for superusers."
    )
    assert "The role limited may have 2, and has 0." in lines
    tree = lines.index("Who blocks whom:")
    assert lines[tree + 1].startswith("  shop/cars.py:42 in load_cars (shop.py) on 127.0.0.1, idle in transaction for ")
    assert ", blocks 1 (process " in lines[tree + 1]
    assert lines[tree + 2].startswith(
        "      shop/cars.py:42 in load_cars (shop.py) on 127.0.0.1, waits for a lock for "
    )
    assert text.index("     2  shop/cars.py:42") < text.index("     3  cron on 127.0.0.1")
    assert f"pg_terminate_backend({data['blocking'][0]['pids'][0]})" in text
    assert "3 connections have no opening line" in text
    assert [(group["count"], group["program"], group["opened"]) for group in data["groups"]] == [
        (2, "shop.py", "shop/cars.py:42 in load_cars"),
        (3, "cron", None),
    ]
    assert data["groups"][0]["states"] == {IDLE_IN_TRANSACTION: 1, RUNNING: 1}
    assert (data["slots"], data["used"], data["free"], data["hidden"]) == (20, 6, 11, 0)
    assert data["blocking"][0]["waiting"][0]["state"] == RUNNING
    for connection in crons:
        connection.close()


@pytest.mark.parametrize("library", ["psycopg2", "psycopg", "pg8000", "asyncpg"])
def test_each_library_asks_the_same(library: str, guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever is installed; the URL may name it, as SQLAlchemy's do."""
    needed(library)
    psycopg2 = needed("psycopg2")
    other = psycopg2.connect(guarded, application_name=LINE)
    url = guarded.replace("postgresql:", f"postgresql+{library}:")
    data = json.loads(said(capsys, url, "--json"))
    assert [group["opened"] for group in data["groups"]] == ["shop/cars.py:42 in load_cars"]
    assert target_of(url).library == library
    other.close()


def test_it_changes_nothing_and_cannot(guarded: str) -> None:
    """Its transaction is read only and short."""
    psycopg2 = needed("psycopg2")
    ask, _, _, close = connected(target_of(guarded))
    for sql in BEGIN:
        ask(sql)
    assert ask("SHOW statement_timeout")[0][0] == "5s"
    with pytest.raises(psycopg2.Error, match="read-only"):
        ask("DELETE FROM cars")
    close()


def test_without_the_right_to_see_others_it_says_so(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    psycopg2 = needed("psycopg2")
    other = psycopg2.connect(guarded, application_name="cron")
    text = said(capsys, guarded.replace("//postgres:", "//limited:"))
    assert "You may not see what 1 connection of others does: GRANT pg_read_all_stats TO this role" in text
    assert "The role limited may have 2, and has 1." in text
    assert "1 hidden" in text
    other.close()


def test_through_pgbouncer_it_is_one_transaction(pgbouncer: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In both modes of PgBouncer, nothing of the question is left behind on the server's connection."""
    psycopg2 = needed("psycopg2")
    assert said(capsys, pgbouncer).startswith("PostgreSQL ")
    connection = psycopg2.connect(pgbouncer)
    cursor = connection.cursor()
    cursor.execute("SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')")
    assert cursor.fetchone() == ("0", "off")
    connection.close()


@pytest.fixture(params=["session", "transaction"])
def narrow(request: pytest.FixtureRequest, guarded: str) -> Iterator[str]:
    """Give the URL of a PgBouncer that has two connections to the server."""
    with _installed(
        servers.pgbouncer(guarded, pool_mode=request.param, default_pool_size=2, max_client_conn=10)
    ) as url:
        yield url


@contextmanager
def _taken(url: str) -> Iterator[list[int]]:
    """Give the server's processes behind the only two connections that a PgBouncer has, both in a transaction."""
    psycopg2 = needed("psycopg2")
    with ExitStack() as end:
        pids = []
        for _ in range(2):
            connection = psycopg2.connect(url, application_name=LINE)
            end.callback(connection.close)
            cursor = connection.cursor()
            cursor.execute("SELECT pg_backend_pid()")
            pids += cursor.fetchone()
        yield sorted(pids)


def console_of(url: str) -> str:
    return f"{url.rpartition('/')[0]}/pgbouncer"


@pytest.mark.once
def test_pgbouncers_console_knows_who_waits_and_who_holds(narrow: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By opening line and host; those who hold with the server's processes. It names the server behind."""
    psycopg2 = needed("psycopg2")

    def wait() -> None:
        connection = psycopg2.connect(narrow, application_name="cron")
        connection.cursor().execute("SELECT 1")
        connection.close()

    thread = threading.Thread(target=wait)
    console = console_of(narrow)
    with ExitStack() as end:
        end.callback(thread.join)
        pids = end.enter_context(_taken(narrow))
        thread.start()
        data: dict[str, Any] = {"groups": []}
        while not any(WAITING in group["states"] for group in data["groups"]):
            data = json.loads(said(capsys, console, "--json"))
        texts = [
            said(capsys, console.replace("postgresql:", f"postgresql+{library}:"))
            for library in ("psycopg2", "psycopg", "pg8000", "asyncpg")
        ]
    assert [(group["program"], group["opened"], group["states"], group["pids"]) for group in data["groups"]] == [
        ("cron", None, {WAITING: 1}, []),
        ("shop.py", "shop/cars.py:42 in load_cars", {HOLDING: 2}, pids),
    ]
    assert (data["slots"], data["used"], data["free"], data["no_transactions"]) == (10, 4, 6, True)
    for text in texts:
        assert text.startswith("PgBouncer ")
        assert "may have 2 server connections, and has 2, and so can open no more." in text
        assert "You may not see" not in text
        assert "1 waiting for a server connection, the longest for " in text
        assert "2 holding a server connection, last statement sent up to " in text
        assert "\n    whoholds server postgresql://postgres@127.0.0.1:" in text


@pytest.mark.once
def test_who_asks_through_pgbouncer_is_told_so(narrow: str, guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the server can know then, and the command that asks PgBouncer; not where nothing is in between."""
    pooled = "You ask through a pooler such as PgBouncer"
    for library in ("psycopg2", "psycopg", "asyncpg"):
        text = said(capsys, narrow.replace("postgresql:", f"postgresql+{library}:"))
        assert pooled in text
        assert f"\n    whoholds server {console_of(narrow)}\n" in text
        assert pooled not in said(capsys, guarded.replace("postgresql:", f"postgresql+{library}:"))


@pytest.mark.once
def test_a_pgbouncer_that_is_full_is_asked_by_its_console(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which lets its users in beyond the limit; who asks the server through it is told so."""
    psycopg2 = needed("psycopg2")
    with _installed(servers.pgbouncer(guarded, max_client_conn=1)) as url:
        connection = psycopg2.connect(url)
        refused = said(capsys, url, code=2)
        assert said(capsys, console_of(url)).startswith("PgBouncer ")
        connection.close()
    assert f"except to its console:  whoholds server {console_of(url)}\n" in refused


@pytest.mark.once
def test_a_question_that_waits_for_pgbouncer_says_so(narrow: str) -> None:
    """It has no connection to the server for this one either."""
    asking = threading.Thread(target=server, args=(narrow,), kwargs={"patience": 0.01})
    told = io.StringIO()  # not `capsys`, which loses what is written while it is read
    with ExitStack() as end:
        end.enter_context(redirect_stderr(told))
        end.callback(asking.join)
        end.enter_context(_taken(narrow))
        asking.start()
        while "has not answered" not in told.getvalue():
            time.sleep(0.01)
    assert f"ask its console:  whoholds server {console_of(narrow)}\n" in told.getvalue()


LIBRARIES = {
    "psycopg2": "postgresql+psycopg2",
    "psycopg": "postgresql+psycopg",
    "pg8000": "postgresql+pg8000",
    "asyncpg": "postgresql+asyncpg",
    "pymysql": "mysql+pymysql",
    "mysql.connector": "mysql+mysqlconnector",
    "MySQLdb": "mysql+MySQLdb",
}

# pg8000 does not close the socket of a connect that fails
forgets_sockets = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Give a socket that listens on a port of this machine, and on which nobody says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@forgets_sockets
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_server_that_says_nothing_at_all_is_named(library: str, silent: socket.socket) -> None:
    """The message comes while the library connects; the test ends the connection only after it."""
    pytest.importorskip(library)
    told, codes = io.StringIO(), []
    url = f"{LIBRARIES[library]}://app@127.0.0.1:{silent.getsockname()[1]}/shop"
    asking = threading.Thread(target=lambda: codes.append(server(url, patience=0.01)))
    with redirect_stderr(told):
        asking.start()
        while "has not answered" not in told.getvalue() and asking.is_alive():
            time.sleep(0.01)
        silent.close()  # and with it the connections that wait to be accepted
        asking.join()
    first, *_, last = told.getvalue().splitlines()
    assert first.startswith(f"whoholds: app@127.0.0.1:{url.rpartition(':')[2]} has not answered for 0.01 s. ")
    assert ("PgBouncer" in first) is url.startswith("postgresql")
    assert ("cannot be asked" in last, codes) == (True, [2])
    gc.collect()


@pytest.mark.once
@forgets_sockets
def test_libraries_that_would_wait_for_ever_give_up(silent: socket.socket) -> None:
    """The server's system accepts the connection, and no greeting comes. All wait at once, for ten seconds."""

    def error_of(library: str) -> str:
        with pytest.raises(Exception, match="timed out|communication error|[Ll]ost connection") as raised:
            connected(target_of(f"{LIBRARIES[library]}://app@127.0.0.1:{silent.getsockname()[1]}/shop"))
        return raised.typename

    here = [library for library in ("pymysql", "pg8000", "MySQLdb") if find_spec(library)]
    with ThreadPoolExecutor() as threads:
        assert set(threads.map(error_of, here)) <= {"OperationalError", "InterfaceError", "TimeoutError"}
    assert here
    gc.collect()


@pytest.mark.once
def test_pgbouncer_shows_its_clients_to_some_users_only(
    guarded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who else asks is told which users those are."""
    users = tmp_path / "users.txt"
    users.write_text('"looks" ""\n"app" ""\n')
    for folder in (users, tmp_path, *(one for one in tmp_path.parents if one.name.startswith(("pytest-", "popen-")))):
        folder.chmod(0o755)
    with _installed(servers.pgbouncer(guarded, auth_type="trust", auth_file=str(users), stats_users="looks")) as url:
        console = console_of(url)
        assert said(capsys, console.replace("postgres@", "looks@")).startswith("PgBouncer ")
        text = said(capsys, console.replace("postgres@", "app@"), code=2)
    assert (
        "cannot be asked: PgBouncer shows its clients only to the users in its settings admin_users and stats" in text
    )


@pytest.mark.once
def test_a_database_may_be_called_like_pgbouncers_console(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is asked like any other."""
    psycopg2 = needed("psycopg2")
    connection = psycopg2.connect(guarded)
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE pgbouncer")
    connection.close()
    assert said(capsys, console_of(guarded)).startswith("PostgreSQL ")


def test_a_role_without_a_connection_left_is_told_what_to_do(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    psycopg2 = needed("psycopg2")
    url = guarded.replace("//postgres:", "//limited:")
    held = [psycopg2.connect(url) for _ in range(2)]
    text = said(capsys, url, code=2)
    assert "cannot be asked: it has no connection left, not even for this question. Ask as a superuser" in text
    for connection in held:
        connection.close()


def test_the_limit_of_a_database_is_told(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With how much of it is in use; who asks has a connection to it, too."""
    psycopg2 = needed("psycopg2")
    connection = psycopg2.connect(guarded)
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE narrow CONNECTION LIMIT 3")
    try:
        in_it = psycopg2.connect(f"{guarded.rpartition('/')[0]}/narrow")
        assert "\nThe database narrow may have 3, and has 1.\n" in said(capsys, guarded)
        in_it.close()
    finally:
        connection.cursor().execute("DROP DATABASE narrow WITH (FORCE)")
        connection.close()


@posix
def test_it_looks_again_over_the_same_connection_until_ctrl_c(guarded: str) -> None:
    """One JSON object on each line."""
    command = [sys.executable, "-m", "whoholds", "server", guarded, "--json", "--watch", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert [look["used"] for look in looks] == [1, 1, 1]


@posix
@pytest.mark.parametrize("library", ["psycopg2", "psycopg", "pg8000", "asyncpg"])
def test_ctrl_c_in_the_middle_of_a_question_is_quiet(library: str, guarded: str) -> None:
    """The library cannot go on with that connection, and the server ends the transaction.

    On a slow machine the statement may have run into its time-out by then, and the next look is interrupted.
    """
    needed(library)
    psycopg2 = needed("psycopg2")
    url = guarded.replace("postgresql:", f"postgresql+{library}:")
    command = [sys.executable, "-m", "whoholds", "server", url, "--json", "--watch", "0.05"]
    with ExitStack() as end:
        locking, looking = psycopg2.connect(guarded), psycopg2.connect(guarded)
        end.callback(looking.close)
        end.callback(locking.close)
        looking.autocommit = True
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end.callback(process.communicate)
        end.callback(process.kill)
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        locking.cursor().execute("LOCK pg_db_role_setting")  # which the view pg_roles reads
        cursor = looking.cursor()
        waits = 0
        while not waits and process.poll() is None:
            cursor.execute(POSTGRES_WAITS)
            (waits,) = cursor.fetchone()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


@posix
def test_ctrl_c_is_not_lost_where_a_library_swallows_it() -> None:
    """As asyncpg does while it sends."""

    async def question() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        finished(loop, question())
    loop.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.once
def test_locked_catalogs_keep_only_the_limits_back(guarded: str) -> None:
    """Who has locked them is shown all the same, to somebody who is connected already."""
    psycopg2 = needed("psycopg2")
    locking = psycopg2.connect(guarded, application_name=LINE)
    with asked(target_of(guarded)) as look:
        locking.cursor().execute("LOCK pg_db_role_setting")  # which the view pg_roles reads
        locked = look()
        locking.rollback()
        free = look()
    locking.close()
    (remark,) = locked.remarks
    assert remark.startswith("The limits of roles and databases could not be read")
    assert [one.state for one in locked.sessions if one.name == LINE] == [IDLE_IN_TRANSACTION]
    assert (locked.limits, free.remarks) == ((), ())
    assert [limit.name for limit in free.limits] == ["limited"]


@pytest.mark.parametrize("library", ["pymysql", "mysql.connector"])
def test_mysql(library: str, mariadb: servers.MySQLArguments, capsys: pytest.CaptureFixture[str]) -> None:
    """Names from connection attributes, transactions and lock waits from InnoDB."""
    pymysql = needed("pymysql")
    needed(library)

    def tagged() -> Any:
        return pymysql.connect(**mariadb, program_name=LINE)

    url = f"mysql+{library}://root@127.0.0.1:{mariadb['port']}/test"
    with blocking_mysql(tagged):
        text = said(capsys, url)
        data = json.loads(said(capsys, url, "--json"))
        blind = said(capsys, url.replace("root@", "app@"))
    assert "3 of 151 connections are in use, this one included; 148 are free." in text
    assert data["groups"][0]["states"] == {IDLE_IN_TRANSACTION: 1, RUNNING: 1}
    assert data["blocking"][0]["opened"] == "shop/cars.py:42 in load_cars"
    assert data["blocking"][0]["blocks"] == 1
    assert f"KILL {data['blocking'][0]['pids'][0]};" in text
    assert "You may not see who is idle in a transaction, nor who blocks whom: GRANT PROCESS" in blind
    assert "Who blocks whom:" not in blind


def test_who_may_not_see_mysqls_lock_waits_is_told_so() -> None:
    """MySQL keeps them in another place than MariaDB, with a right of its own; here are its answers."""

    def ask(sql: str) -> list[Any]:
        return [("8.4.0", 151, 0, "app@%", 7)] if "version()" in sql else [("", "3")] if "STATUS" in sql else []

    def refused(sql: str) -> list[Any] | None:
        return [] if sql == TRANSACTIONS else None

    target = target_of("mysql://app@db/shop")
    text = "\n".join(lines_of(mysql.look(ask, refused, target)))
    assert "You may not see who blocks whom: GRANT SELECT ON performance_schema.* TO this user." in text
    assert "who blocks whom" not in "\n".join(lines_of(mysql.look(ask, lambda _: [], target)))


@contextmanager
def blocking_mysql(connect: Callable[[], Any]) -> Iterator[None]:
    """As `blocking`: PyMySQL's `autocommit` is a method."""

    class Looking:
        def __init__(self) -> None:
            self.__dict__["inner"] = connect()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def __setattr__(self, name: str, value: Any) -> None:
            getattr(self.inner, name)(value)

    with blocking(Looking, MYSQL_WAITS):
        yield


@pytest.mark.parametrize(("system", "package"), [("mysql", "pymysql"), ("postgresql", "psycopg2-binary")])
def test_without_a_library_it_says_which_to_install(
    system: str, package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None in `sys.modules` makes an import fail, as if the library were not installed."""
    for name in ("psycopg2", "psycopg", "pg8000", "asyncpg", "pymysql", "mysql", "mysql.connector", "MySQLdb"):
        monkeypatch.setitem(sys.modules, name, None)
    assert f": `pip install {package}` installs one" in said(capsys, f"{system}://me@127.0.0.1:1/shop", code=2)


NOT_UNDERSTOOD = "the connection string is not understood: it is a URL, or has the form host=… dbname=…"


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("sqlite:///cars.db", "only PostgreSQL and MySQL can be asked"),
        ("nonsense", "the connection string is not understood"),
        (f"host='{PASSWORD}", "the connection string is not understood"),
        (f"host=there password={PASSWORD} port=1/shop", "the connection string is not understood: it is a URL, or "),
        ("postgresql://h:abc/x", f"{NOT_UNDERSTOOD}; its port is a number from 1 to 65535"),
        (f"postgresql://me:{PASSWORD.strip('@')}/x", f"{NOT_UNDERSTOOD}; its port is a number from 1 to 65535"),
        ("mysql://h:99999/x", f"{NOT_UNDERSTOOD}; its port is a number from 1 to 65535"),
        ("host=h port=99999", f"{NOT_UNDERSTOOD}; its port is a number from 1 to 65535"),
        (f"postgresql://me:1/{PASSWORD}there/shop", "the connection string is not understood: in a user name"),
        (f"postgresql://me:1#{PASSWORD}127.0.0.1:1/shop", "me@127.0.0.1:1/shop cannot be asked: "),
        (f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:1/shop", "me@127.0.0.1:1/shop cannot be asked: "),
        (
            f"postgresql:///shop?host=127.0.0.1&port=1&user=me&password={quote(PASSWORD, safe='')}",
            "me@127.0.0.1:1/shop cannot be asked: ",
        ),
        (f"host=127.0.0.1 port=1 user=me password={PASSWORD} dbname=shop", "me@127.0.0.1:1/shop cannot be asked: "),
    ],
)
def test_what_cannot_be_asked(dsn: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2, and never the password."""
    text = said(capsys, dsn, code=2)
    assert text.startswith(f"whoholds: {expected}")
    assert text.count("\n") == 1
    assert PASSWORD.strip("@") not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("server", "--watch", f"postgresql://me:{PASSWORD}@there/shop"),
        ("server", "--color", f"postgresql://me:{PASSWORD}@there/shop"),
        (f"postgresql://me:{PASSWORD}@there/shop",),
        ("server", "host=there", "user=me", f"password={PASSWORD}"),
    ],
)
def test_a_wrong_command_line_is_quoted_without_the_password(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A DSN in the place of something else, and one that the shell has split."""
    with pytest.raises(SystemExit):
        main(arguments)
    said = capsys.readouterr().err
    assert PASSWORD not in said
    assert "error: " in said


def test_a_dsn_in_the_place_of_seconds_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """`--watch DSN` reads like the usage, and takes the DSN for the seconds."""
    with pytest.raises(SystemExit):
        main(("server", "--watch", "postgresql://there/shop"))
    assert "takes a number of seconds greater than 0; write it after the DSN" in capsys.readouterr().err


def test_a_wait_of_years_is_told_the_most(capsys: pytest.CaptureFixture[str]) -> None:
    """No system call can wait so long."""
    with pytest.raises(SystemExit):
        main(("dump", "1", "--wait", "1e99"))
    assert "takes a number of seconds greater than 0, 86400 at most" in capsys.readouterr().err


def session(pid: int, *blocked_by: int, state: str = RUNNING) -> Session:
    return Session(pid, LINE, "app", "shop", "web-3", state, 93.0, 100.0, blocked_by)


def state_of(*sessions: Session) -> State:
    return State("PostgreSQL 16.2", "app@db/shop", 100, len(sessions) + 1, (), (), sessions, 0, False, "", "end {}")  # noqa: FBT003


def test_a_queue_of_many_is_one_level_and_quickly_drawn() -> None:
    """Each that waits for a table is blocked by all before it: 2 ** 40 ways lead to the last."""
    state = state_of(session(1, state=IDLE_IN_TRANSACTION), *(session(n, *range(1, n)) for n in range(2, 42)))
    (tree,) = trees_of(state)
    (queue,) = tree.waiting
    assert (tree.pids, tree.blocks, queue.pids) == ([1], 40, list(range(2, 42)))
    text = list(lines_of(state))
    assert (
        "      shop/cars.py:42 in load_cars (shop.py) on web-3: "
        "40 wait for a lock, the longest for 93 s (processes 2, 3, 4, …)"
    ) in text
    assert any("on web-3, idle in transaction for 93 s, blocks 40 (process 1)" in line for line in text)


def test_many_that_block_the_same_are_one_line() -> None:
    """A thousand readers keep a table from being changed, and whoever comes later waits for that change."""
    readers = [session(n, state=IDLE_IN_TRANSACTION)._replace(host=f"web-{n % 7}") for n in range(1, 1001)]
    change = session(2000, *range(1, 1001))._replace(name="migrate.py: migrate.py:9 add_column")
    state = state_of(*readers, change, *(session(n, 2000) for n in range(2001, 3001)))
    (tree,) = trees_of(state)
    assert (len(tree.pids), tree.blocks) == (1000, 1001)
    text = "\n".join(lines_of(state))
    assert (
        "on 7 hosts: 1000 are idle in transaction, the longest for 93 s, and block 1001 (processes 1, 2, 3, …)" in text
    )
    assert "\n      migrate.py:9 in add_column (migrate.py) on web-3, waits for a lock for 93 s, blocks 1000 (" in text
    assert text.count("\n") < 20


def test_of_many_that_block_others_a_screen_is_told() -> None:
    """Each reader of another line keeps its own change waiting."""
    readers = [session(n, state=IDLE_IN_TRANSACTION)._replace(name=f"a: a.py:{n} f") for n in range(1, 50)]
    text = list(lines_of(state_of(*readers, *(session(100 + n, n) for n in range(1, 50)))))
    assert "  … and 39 more that block others, which --json lists" in text
    assert "    38  in 38 other groups, which --json lists" in text
    assert (
        "    49  shop/cars.py:42 in load_cars (shop.py) on web-3" in text
    )  # not idle in a transaction, but the largest


def test_of_many_limits_those_are_told_that_are_nearly_reached() -> None:
    """A server with a role for each of its tenants."""
    limits = tuple(Limit("role", f"tenant_{n}", 10, n % 10) for n in range(1, 500))
    text = list(lines_of(state_of(session(1))._replace(limits=limits)))
    assert text[1] == "The role tenant_9 may have 10, and has 9."
    assert text[6] == "494 other limits, which --json lists, are further from being reached."


def test_a_line_on_many_hosts_is_one_group() -> None:
    """Where one host has more than the others, it is named."""
    state = state_of(*(session(n)._replace(host=f"web-{min(n, 5)}", state=IDLE) for n in range(1, 9)))
    text = "\n".join(lines_of(state))
    assert "     8  shop/cars.py:42 in load_cars (shop.py) on 5 hosts\n" in text
    assert "        8 idle; at most 4 on one host, web-5; oldest opened 100 s ago" in text
    (group,) = as_data(state)["groups"]
    assert group["hosts"] == {"web-5": 4, "web-1": 1, "web-2": 1, "web-3": 1, "web-4": 1}


def test_a_server_sends_no_control_characters_to_the_terminal() -> None:
    """Whatever it calls itself."""
    state = state_of(session(1))._replace(server="PostgreSQL \x1b[2J16")
    assert "\x1b" not in "".join(lines_of(state))


def test_a_circle_and_what_is_not_listed_end() -> None:
    """A deadlock that the server has not broken yet, and a prepared transaction."""
    circle = trees_of(state_of(session(1, 2), session(2, 1), session(3, 0)))
    assert [(tree.pids, tree.blocks) for tree in circle] == [([0], 1), ([1], 1)]
    assert any("a prepared transaction" in line for line in lines_of(state_of(session(3, 0))))
    assert trees_of(state_of(session(1, state=IDLE))) == []
