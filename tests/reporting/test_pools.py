"""How large a pool must be, as the journal, `whoholds report` and `holders()` say it: the same numbers everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.worlds import CARS, SHOP, Program
from whoholds.commands.report import report
from whoholds.ledger.handle import CHECKOUT
from whoholds.outputs.journal import JournalOutput
from whoholds.reporting.pools import SHOWN, pool_lines
from whoholds.settings.limits import Limits
from whoholds.watching.holders import holders_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from whoholds.ledger.handle import Handle, Pool

LINES = """\
whoholds: the pool made at /srv/shop/cars.py:42 in load_cars, 2 at most: 3 loans, 3 wanted at once, used for 25% of the time they were held
whoholds:   waited 0.0 ms (median), 3.0 s (99 %), 3.0 s (longest); held 4.0 s (median), 4.0 s (99 %), 4.0 s (longest)
whoholds:   large enough: 3 if nobody may wait, 3 if 1 % may wait for 10 ms or longer, 2 if each were held only while it is used
"""


class Shop(Program):
    """A program with a pool of two, of which three loans are wanted at once; each is used for a quarter of its time."""

    def runs(self) -> None:
        """Lend three times, with a look after each round."""
        self.line = CARS
        self.theirs = type("Theirs", (), {})()
        self.pool: Pool = self.ledger.pool_made(self.theirs, "pool-1", None, 2, "postgresql")
        self.stock = [self.opens(), self.opens()]
        for connection in self.stock:
            connection.pool, connection.at_home = self.pool, True
        self.watch.tick()
        self.back([self.lends(connection) for connection in self.stock])
        self.back([self.lends(self.stock[0], waited=3.0)])
        self.watch.tick()

    def lends(self, connection: Handle, waited: float = 0.0) -> Handle:
        """Give a loan of `connection`, for which somebody has waited so many seconds."""
        return self.ledger.opened(
            CHECKOUT, "pool", SHOP, None, None, parent=connection, pool=self.pool, began=self.clock() - waited
        )

    def back(self, loans: list[Handle]) -> None:
        """Give them back four seconds later; each was used for one."""
        self.clock.advance(4.0)
        for loan in loans:
            assert loan.parent is not None
            loan.parent.calls_s += 1.0
            self.ledger.closed(loan)


def test_the_journal_has_a_record_of_each_pool_and_report_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the process was killed: a record is written whenever more than ever are wanted at once."""
    path = tmp_path / "shop.jsonl"
    shop = Shop(JournalOutput(Limits(journal=str(path))))
    shop.runs()
    killed = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["wanted"], one["loans"]) for one in killed if one["type"] == "pool"] == [(3, 3)]
    shop.exits()
    (record,) = [json.loads(line) for line in path.read_text().splitlines() if '"type":"pool"' in line][1:]
    assert {
        name: record[name] for name in ("name", "max", "loans", "wanted", "used_share", "timeouts", "database")
    } == {
        "name": "pool-1",
        "max": 2,
        "loans": 3,
        "wanted": 3,
        "used_share": 0.25,
        "timeouts": 0,
        "database": SHOP.text,
    }
    assert record["made"]["function"] == "load_cars"
    assert record["wait_s"]["longest"] == 3.0
    assert record["sizes"] == {"no_wait": 3, "few_waits": 3, "only_used": 2}
    assert report([str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(LINES)
    assert "2 connections opened, at most 2 at once to app@127.0.0.1/shop" in printed  # the pool's own
    assert report([str(path)], as_json=True) == 0
    (pool,) = json.loads(capsys.readouterr().out)["pools"]
    assert pool == {name: value for name, value in record.items() if name != "type"}


def test_holders_say_the_same_at_any_moment() -> None:
    """As text and as values, also where nothing is held now."""
    shop = Shop()
    shop.runs()
    held = holders_of(shop.watch)
    assert len(held) == 0
    assert str(held) == f"whoholds: nothing is held\n{LINES}".rstrip()
    assert [pool["sizes"]["no_wait"] for pool in held.pools] == [3]


def test_who_waits_now_is_said_below_the_pool() -> None:
    """With the line at which they ask, and for how long the first of them has waited."""
    shop = Shop()
    shop.runs()
    requests = [shop.ledger.asks(shop.pool, None) for _ in range(2)]
    shop.clock.advance(1.5)
    held = holders_of(shop.watch)
    last = str(held).splitlines()[-1]
    assert last == "whoholds:   2 requests wait now, for up to 1.5 s, at /srv/shop/cars.py:42 in load_cars"
    requests.pop().answered()
    assert str(holders_of(shop.watch)).splitlines()[-1].startswith("whoholds:   1 request waits now, for 1.5 s, at ")
    ((waiting,),) = [pool["waiting"] for pool in held.pools]
    assert (waiting["count"], waiting["longest_s"], waiting["asked"]["function"]) == (2, 1.5, "load_cars")
    requests.clear()
    assert [pool["waiting"] for pool in holders_of(shop.watch).pools] == [[]]


def test_a_pool_whose_database_nobody_knows_yet_is_of_its_system() -> None:
    """Two wait for its first connection: the journal's record of that names a database all the same."""
    shop = Shop()
    theirs = type("Theirs", (), {})()
    pool = shop.ledger.pool_made(theirs, "pool-1", None, 2, "postgresql")
    requests = [shop.ledger.asks(pool, None) for _ in range(2)]
    shop.looks()
    (record,) = holders_of(shop.watch).pools
    assert (record["database"], record["wanted"], record["loans"]) == ("postgresql:///", 2, 0)
    assert (record["sizes"], pool_lines([record]), len(requests)) == (None, [], 2)


def test_ten_pools_have_lines() -> None:
    """Those are shown of which most was wanted at once."""
    shop = Shop()
    shop.runs()
    (record,) = holders_of(shop.watch).pools
    many = [{**record, "wanted": number} for number in range(SHOWN + 5)]
    lines = pool_lines(many)
    assert len(lines) == 3 * SHOWN + 1
    assert " 14 wanted at once" in lines[0]
    assert lines[-1] == "whoholds: and 5 more pools, of which fewer were wanted at once"


def test_what_is_not_known_is_left_out() -> None:
    """Nobody sees the uses of a connection that no driver watches; a pool that was made before the start has no line."""
    shop = Shop()
    shop.runs()
    (record,) = holders_of(shop.watch).pools
    sizes = {**record["sizes"], "only_used": None}
    lines = pool_lines([{**record, "made": None, "max": None, "used_share": None, "sizes": sizes}])
    assert lines[0] == "whoholds: the pool made at an unknown line: 3 loans, 3 wanted at once"
    assert lines[2] == "whoholds:   large enough: 3 if nobody may wait, 3 if 1 % may wait for 10 ms or longer"
    assert pool_lines([{**record, "used_share": 0.0}])[0].endswith("3 wanted at once, never used")


def test_no_time_is_said_while_every_loan_is_still_lent() -> None:
    """How long they will have been held is not known yet: it is not nothing."""
    shop = Shop()
    shop.runs()
    (record,) = holders_of(shop.watch).pools
    (_, times, *_) = pool_lines([{**record, "held_s": {"p50": 0.0, "p99": 0.0, "longest": 0.0}}])
    assert times.endswith("3.0 s (longest); none was given back yet")
