"""`whoholds server` and the watched processes of its machine: who has borrowed what the server shows as a pool's."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tests.conftest import _installed
from tests.needs import needed
from tests.programs import Programs
from whoholds.commands.cli import main
from whoholds.ledger.database import Database
from whoholds.remote.joining import _holders, joined
from whoholds.servers.asking import asked
from whoholds.servers.target import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]

PROGRAM = """
import os, threading, {module} as library
from psycopg2.pool import ThreadedConnectionPool
def price_of():
    up.wait()
    done.wait()
def load_cars(connection):
    connection.cursor().execute("SELECT 1")
    price_of()
def borrow():
    load_cars({borrow})
up, done = threading.Barrier(3), threading.Event()
{pool}
for number in range(2):
    threading.Thread(target=borrow, name=f"worker-{{number}}", daemon=True).start()
up.wait()
print(os.getpid(), flush=True)
done.wait()
"""


@contextmanager
def running(program: Programs, **source: str) -> Iterator[int]:
    """Give the number of a watched process whose two threads hold a connection each."""
    with program.start(PROGRAM.format(**source), WHOHOLDS_EVERY="0.1", WHOHOLDS_TAG="1") as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def asked_json(capsys: pytest.CaptureFixture[str], dsn: str) -> Any:
    """What the command says of those connections that a process has answered for; it asks until one has."""
    while True:
        assert main(["server", dsn, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        if any(group["held_by"] for group in data["groups"]):
            return data


def test_a_pools_connection_has_its_borrower(postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its line, its thread, and the line where that is now; beside the pool's line, which the server knows."""
    needed("psycopg2")
    pool = f"pool = ThreadedConnectionPool(3, 3, {postgres!r})"
    with running(Programs(tmp_path), module="psycopg2", pool=pool, borrow="pool.getconn()") as pid:
        (group,) = [one for one in asked_json(capsys, postgres)["groups"] if one["held_by"]]
        assert main(["server", postgres]) == 0
        text = capsys.readouterr().out
        target = target_of(postgres)
        with asked(target) as look:
            state = look()
        elsewhere = joined(state, target._replace(port=1))
        nameless = joined(state, target_of(postgres.replace("127.0.0.1", "localhost")))
    held = sorted(group["held_by"], key=lambda one: one["owner"])
    assert [(one["process"], one["kind"], one["opened"], one["owner"], one["now"]) for one in held] == [
        (pid, "checkout", "app.py:11 in borrow", f"worker-{number}", "app.py:6 in price_of") for number in range(2)
    ]
    assert {one["pid"] for one in held} < set(group["pids"])
    assert (group["count"], group["opened"]) == (3, "app.py:13 in <module>")
    assert (
        f"\n        here, process {pid}: 2 borrowed at app.py:11 in borrow by worker-0, worker-1, now at app.py:6 in price_of\n"
        in text
    )
    assert not any(one.holder for one in elsewhere.sessions)
    assert sum(one.holder is not None for one in nameless.sessions) == 2


def test_mysql_numbers_its_connections_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here without a name of its own, as MariaDB keeps none by default: its line comes from the process."""
    needed("pymysql")
    with _installed(servers.mariadb()) as arguments:
        borrow = f"library.connect(user='app', host='127.0.0.1', port={arguments['port']}, database='test')"
        dsn = f"mysql://app@127.0.0.1:{arguments['port']}/test"
        with running(Programs(tmp_path), module="pymysql", pool="", borrow=borrow) as pid:
            data = asked_json(capsys, dsn)
            assert main(["server", dsn]) == 0
            text = capsys.readouterr().out
    held = [one for group in data["groups"] for one in group["held_by"]]
    assert [(one["process"], one["kind"], one["opened"], one["now"]) for one in held] == [
        (pid, "connection", "app.py:11 in borrow", "app.py:6 in price_of")
    ] * 2
    assert "no opening line" not in text


def test_a_process_that_does_not_answer_is_counted(
    postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are asked at once; who holds the connections of this one nobody else knows."""
    needed("psycopg2")
    pool = f"pool = ThreadedConnectionPool(3, 3, {postgres!r})"
    with running(Programs(tmp_path), module="psycopg2", pool=pool, borrow="pool.getconn()") as pid:
        os.kill(pid, signal.SIGSTOP)
        assert main(["server", postgres, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert any("watched processes of this machine did not answer" in remark for remark in data["remarks"])
    assert [group["held_by"] for group in data["groups"] if group["opened"] == "app.py:13 in <module>"] == [[]]


@pytest.mark.parametrize("port", [None, 5432, 6543])
def test_an_address_of_ipv6_has_a_port_or_none(port: int | None) -> None:
    """Its own last digits are none."""
    at = Database("postgresql", "app", "fd00::5432", port, "shop")
    assert at.text == f"postgresql://app@[fd00::5432]{f':{port}' if port else ''}/shop"
    assert at.server == f"postgresql://[fd00::5432]{f':{port}' if port else ''}"
    for target, same in ((at.text, True), ("postgresql://app@[fd00::5432]:1/shop", False)):
        holder = {"backend_pid": 5, "name": "", "work": "", "now": None, "held_s": 1.0}
        group = {"kind": "connection", "referrer": None, "opened": None, "holders": [holder]}
        answer = (1, {"databases": [{"database": at.text, "groups": [group]}]})
        assert [key for key, _ in _holders(answer, target_of(target))] == [(5, "app", "shop")] * same
    assert target_of(at.text).to("pgbouncer") == at.text.replace("shop", "pgbouncer")


def test_no_answer_can_end_the_command() -> None:
    """Whoever runs a process decides what it answers: nothing is taken of an answer that cannot be used."""
    target = target_of("postgresql://app@db.example:5432/shop")
    holder: dict[str, Any] = {"backend_pid": 5, "name": "worker-0", "work": "", "now": None, "held_s": 1.0}
    group = {"kind": "connection", "referrer": None, "opened": None, "holders": [holder]}
    database: dict[str, Any] = {"database": target.dsn, "groups": [group]}
    answer = (1, {"databases": [database]})
    assert [key for key, _ in _holders(answer, target)] == [(5, "app", "shop")]
    for name, wrong in (("backend_pid", []), ("backend_pid", 1e999), ("held_s", "x"), ("held_s", 10**400), ("now", 1)):
        right, holder[name] = holder[name], wrong
        assert dict(_holders(answer, target)) == {}
        holder[name] = right
    database["database"] = f"postgresql://app@db.example:{10**30}/shop"
    assert dict(_holders(answer, target)) == {}
