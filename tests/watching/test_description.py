"""The one description of what a process holds: its values, what it leaves out, its text, and what it cost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import whoholds
from tests.needs import foreign_stacks
from tests.worlds import CARS, FILE, REPORT, SHOP, STOCK, USERS, Program, thread
from whoholds.analysis.cost import memory_of
from whoholds.ledger.handle import CHECKOUT
from whoholds.ledger.origin import capture
from whoholds.ledger.referrer import Referrer
from whoholds.reporting import group_records
from whoholds.reporting.held import description_text
from whoholds.watching.description import FINDINGS, GROUPS, HOLDERS, POOLS, database_records
from whoholds.watching.holders import described
from whoholds.web.now import now_as_html

if TYPE_CHECKING:
    import pytest


def read_back(program: Program) -> dict[str, Any]:
    """Give the description of a program as a reader of its JSON has it."""
    read: dict[str, Any] = json.loads(json.dumps(described(program.watch)))
    return read


def shop(**limits: Any) -> Program:
    """Give a program in which three threads hold one database, one of them in a transaction, and main another."""
    program = Program(**limits)
    for number, held in enumerate(program.fans_out(3)):
        held.in_transaction = number == 0
        held.backend_pid = 100 + number
    program.opens("/srv/shop/app.py:9 main", thread(), STOCK)
    program.clock.advance(2.0)
    return program


def test_groups_have_their_lines_states_and_holders() -> None:
    """Largest first; each holder with its name, its state, and for how long it holds."""
    read = read_back(shop(server_limit=30))
    assert [(one["name"], one["count"], one["limit"]) for one in read["databases"]] == [
        ("app@127.0.0.1/shop", 3, 30),
        ("app@127.0.0.1/stock", 1, 30),
    ]
    (group,) = read["databases"][0]["groups"]
    assert (group["opened"]["place"], group["opened"]["function"]) == ("/srv/shop/cars.py:42", "load_cars")
    assert group["spawned"]["function"] == "build"
    assert group["states"] == {"idle": 2, "idle in transaction": 1}
    assert (group["count"], group["opened_so_far"], group["longest_s"]) == (3, 3, 2.0)
    first = group["holders"][0]
    assert (first["name"], first["kind"], first["state"]) == ("Thread-0", "thread", "idle in transaction")
    assert (first["held_s"], first["idle_s"], first["backend_pid"]) == (2.0, 2.0, 100)
    assert read["opening"]["count"] == read["held"] == 4
    assert read["process"]["pid"] == os.getpid()


@foreign_stacks
def test_where_each_holder_is_now_is_told_with_its_stack(tmp_path: Path) -> None:
    """A stack that several holders share is there once; the place is as this process shows it, wherever it is read."""
    holds, ends = threading.Barrier(3), threading.Event()

    def waits_here(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, check_same_thread=False)):
            holds.wait()
            ends.wait()

    with whoholds.watch() as watch:
        threads = [threading.Thread(target=waits_here, args=(tmp_path / "shop.db",)) for _ in range(2)]
        for one in threads:
            one.start()
        holds.wait()
        described_now = described(watch)
        ends.set()
        for one in threads:
            one.join()
    (group,) = described_now["databases"][0]["groups"]
    now = [holder["now"] for holder in group["holders"]]
    assert [one["function"] for one in now] == ["waits_here"] * 2
    assert now[0]["place"].startswith("tests/watching/test_description.py:")
    for holder in group["holders"]:
        assert "waits_here" in [frame["function"] for frame in group["stacks"][holder["stack"]]]
    assert "waits_here" in [frame["function"] for frame in group["opening_stack"]]


def test_a_pool_says_what_is_out_and_who_waits() -> None:
    """What it has at home is held by nobody, and so are the connections behind its loans."""
    program = Program()
    theirs = type("Theirs", (), {})()
    program.line = CARS
    pool = program.ledger.pool_made(theirs, "pool-1", None, 2, "postgresql")
    stock = [program.opens(), program.opens()]
    for connection in stock:
        connection.pool, connection.at_home = pool, True
    program.looks()
    stock[0].at_home = False
    loan = program.ledger.opened(CHECKOUT, "pool", SHOP, None, None, parent=stock[0], pool=pool)
    waiting = program.ledger.asks(pool, None)
    program.clock.advance(3.0)
    read = read_back(program)
    (lent,) = read["pools"]
    assert (lent["max"], lent["out"], lent["waiting"][0]["count"], lent["waiting"][0]["longest_s"]) == (2, 1, 1, 3.0)
    assert (read["held"], read["databases"][0]["groups"][0]["kind"]) == (1, "checkout")
    assert "2 at most, 1 lent now: 1 loan" in description_text(read)
    assert "; none was given back yet" in description_text(read)
    waiting.answered()
    program.ledger.closed(loan)
    assert "lent now" not in description_text(read_back(program))


def test_the_text_answers_first_and_ends_with_the_cost() -> None:
    """Who holds most; then the groups, the findings so far, the process and what it has paid."""
    program = shop(idle_in_transaction=1)
    lines = description_text(read_back(program)).splitlines()
    assert lines[0].endswith(" holds 4 connections, 3 of them opened at /srv/shop/cars.py:42 in load_cars")
    assert lines[1] == "whoholds: 3 connections open to app@127.0.0.1/shop"
    (first,) = [number for number, line in enumerate(lines) if line.startswith("whoholds: 1 finding so far:")]
    assert lines[first + 1].startswith("    warning  idle-in-transaction: ")
    assert lines[-2].startswith(f"whoholds: process {os.getpid()} on ")
    assert " of CPU time in 1 look (" in lines[-1]
    assert "; 4 events recorded" in lines[-1]


def test_a_process_that_holds_nothing_says_so() -> None:
    """In the first line."""
    text = description_text(read_back(Program()))
    assert text.splitlines()[0].endswith(" holds no connection now")
    assert "whoholds: no findings so far" in text


def test_what_is_kept_for_the_next_request_is_counted_and_not_held() -> None:
    """The server has these connections, too: whoever sees them there finds them in the first line."""
    program = Program()
    for owner in ("Thread-1", "Thread-2"):
        program.opens(CARS, thread(owner, REPORT)).at_home = True
    read = read_back(program)
    assert (read["held"], read["kept"]) == (0, 2)
    first = description_text(read).splitlines()[0]
    assert first.endswith(" holds no connection now; pools and threads keep 2 for the next request")


def test_findings_and_settings_are_those_of_the_journal() -> None:
    """The same records, each with its report."""
    program = shop(idle_in_transaction=1)
    read = read_back(program)
    assert {one["rule"] for one in read["findings"]} == {"idle-in-transaction"}
    assert all(
        one["type"] == "finding" and one["report"].startswith("whoholds: idle-in-transaction")
        for one in read["findings"]
    )
    assert read["settings"]["WHOHOLDS_IDLE_IN_TRANSACTION"] == "1"


def test_the_description_is_bounded() -> None:
    """Of many holders in a group the oldest are told one by one, of many findings the latest; all are counted."""
    program = Program(idle_in_transaction=1)
    for number in range(FINDINGS + 10):
        program.opens(f"/srv/shop/cars{number}.py:42 load", in_transaction=True)
    for number in range(HOLDERS + 10):
        program.opens(CARS, thread(f"Thread-{number}", REPORT))
    program.clock.advance(2.0)
    read = read_back(program)
    group = read["databases"][0]["groups"][0]
    assert (group["count"], len(group["holders"]), group["holders"][0]["name"]) == (HOLDERS + 10, HOLDERS, "Thread-0")
    assert (len(read["findings"]), read["findings_left_out"]) == (FINDINGS, len(program.watch.findings) - FINDINGS)
    assert f"whoholds: {len(program.watch.findings)} findings so far, of which the last 20" in description_text(read)


def test_the_cost_is_that_of_this_process() -> None:
    """Looks and events are exact; the memory follows the handles; a child begins anew."""
    program = shop()
    cost = read_back(program)["cost"]
    assert (cost["looks"], cost["events"], cost["dropped"], cost["open"]) == (1, 4, 0, 4)
    assert 0 < cost["cpu_s"] < 60
    program.fans_out(200)
    program.looks()
    assert read_back(program)["cost"]["memory_bytes"] > 20 * cost["memory_bytes"]
    program.watch.in_child()
    assert program.watch.cost == (0, 0.0, 0, 0)
    assert memory_of([], program.watch.history) < cost["memory_bytes"] * 10


def test_what_was_open_before_has_a_referrer_in_place_of_a_line() -> None:
    """In the object, in the text and in its first line; and no seconds by an unknown owner are told of it."""
    program = Program()
    ledger = program.watch.ledger
    for line in (26, 26, 0):
        what = Referrer("variable conn", "/srv/shop/cars.py", line, "load_cars") if line else Referrer("global db")
        ledger.adopt("connection", "psycopg", SHOP, None, what)
    read = read_back(program)
    first, second = read["databases"][0]["groups"]
    assert (first["opened"], first["referrer"]) == (None, "/srv/shop/cars.py:26 in load_cars (variable conn)")
    assert (second["count"], second["referrer"]) == (1, "global db")
    text = description_text(read).splitlines()
    assert text[0].endswith("holds 3 connections, 2 of them held at /srv/shop/cars.py:26 in load_cars (variable conn)")
    assert "     2  held at  /srv/shop/cars.py:26 in load_cars (variable conn)" in text
    assert text[text.index("     1  held at  global db") + 1] == "        opened   before whoholds came"
    assert not any("unknown" in line for line in text)


def test_the_page_names_every_field() -> None:
    """docs/dump.md has a row for each, and for no other."""
    page = (Path(__file__).parents[2] / "docs" / "dump.md").read_text(encoding="utf-8")
    tables = page.partition("## The JSON object")[2].split("| field | value |")[1:]
    named = [{field for row in rows_of(table) for field in re.findall(r"`(\w+)`", row)} for table in tables]
    described_now = described(shop().watch)
    database = described_now["databases"][0]
    assert named == [set(one) for one in (described_now, database, database["groups"][0], described_now["cost"])]
    for part in (described_now["process"], database["groups"][0]["holders"][0], database["groups"][0]["opened"]):
        assert [field for field in part if f"`{field}`" not in page] == []


def rows_of(table: str) -> list[str]:
    """Give the first cells of a table's rows."""
    return [line.split("|")[1] for line in table.split("\n\n", maxsplit=1)[0].splitlines() if line.startswith("| `")]


def test_the_stack_of_an_owner_that_holds_very_many_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an answer takes the program's time for each of ten thousand handles."""
    program = Program()
    for _ in range(500):
        program.opens(CARS, thread("worker-0"), SHOP)
    program.looks()
    stack = capture(sys._getframe(), 16)
    read: list[object] = []
    monkeypatch.setattr(group_records, "users_line", read.append)
    (database,) = database_records(program.watch.handles, 1.0, dict.fromkeys(program.watch.handles, stack))
    assert (database["count"], len(read)) == (500, 1)


def test_of_very_many_lines_and_databases_the_largest_are_described() -> None:
    """Of the others their number: an answer must not take a second of the program's time. What is held adds up."""
    program = Program()
    for number in range(GROUPS + 50):
        program.opens(f"/srv/shop/cars.py:{number + 1} load_cars", to=SHOP)
    for _ in range(2):
        program.opens(CARS, to=STOCK)
    program.opens(USERS, to=FILE)
    read = read_back(program)
    stock, shop_ = sorted(read["databases"], key=lambda database: database["count"])
    assert (read["held"], stock["count"], shop_["count"]) == (GROUPS + 53, 2, GROUPS + 50)
    assert (stock["lines_left_out"], shop_["lines_left_out"]) == (0, 51)
    assert len(stock["groups"]) + len(shop_["groups"]) == GROUPS
    lines = description_text(read).splitlines()
    assert "   and 200 more from 200 other lines" in lines
    assert "whoholds: 1 connection open to other databases" in lines
    assert "and 220 more from 220 other lines" in now_as_html(read)


def test_of_very_many_pools_the_most_wanted_are_described() -> None:
    """And those that somebody waits for; of the others their number."""
    program = Program()
    theirs: list[object] = []
    for number in range(POOLS + 20):
        theirs.append(type("Theirs", (), {})())
        pool = program.ledger.pool_made(theirs[-1], f"pool-{number}", None, 2, "postgresql")
        stock = program.opens(CARS, pool=pool)
        program.ledger.closed(program.ledger.opened(CHECKOUT, "pool", SHOP, None, None, parent=stock, pool=pool))
    waiting = program.ledger.asks(pool, None)
    read = read_back(program)
    assert (len(read["pools"]), read["pools_left_out"]) == (POOLS, 20)
    assert [one["key"] for one in read["pools"] if one["waiting"]] == [pool.key]
    assert "whoholds: and 110 more pools, of which fewer were wanted at once" in description_text(read)
    waiting.answered()


def test_a_secret_in_a_failure_of_an_output_is_hidden() -> None:
    """Its text is that of any library's exception, which may quote a connection string."""

    def fails(_: object) -> None:
        raise ValueError("cannot connect to postgresql://app:geheim@db/shop")

    program = Program()
    program.watch.outputs.append(fails)
    program.looks()
    (aside,) = read_back(program)["asides"]
    assert aside["reason"].endswith("ValueError: cannot connect to postgresql://app:***@db/shop")
