"""The pace of the looks, and their pauses: many handles are no burden."""

from __future__ import annotations

import sys

import pytest

from whoholds.analysis.pauses import FEW
from whoholds.ledger.database import database
from whoholds.ledger.handle import CONNECTION
from whoholds.watching.pace import RAREST_S, rest_after
from whoholds.watching.watch import Watch


@pytest.mark.parametrize(
    ("every", "earlier", "latest", "rest"),
    [
        (1.0, 0.004, 0.004, 1.0),  # 10 000 handles
        (1.0, 0.3, 0.004, 1.0),  # so many were new
        (1.0, 0.004, 0.3, 1.0),
        (1.0, 0.3, 0.04, 4.0),  # 100 000
        (1.0, 3.0, 3.0, RAREST_S),
        (60.0, 3.0, 3.0, 60.0),
        (0.01, 0.004, 0.004, 0.01),  # asked for
    ],
)
def test_looks_that_would_take_more_than_a_hundredth_of_a_core_come_more_rarely(
    every: float, earlier: float, latest: float, rest: float
) -> None:
    """After long looks in a row, but within `RAREST_S`."""
    assert rest_after(every, earlier, latest) == rest


def test_a_look_over_many_handles_pauses_where_nobody_waits_for_it() -> None:
    """It works for far longer than the stretch after which a pause is due, and finds what it finds without pauses."""
    paused: list[bool] = []
    found = []
    for pause in (lambda: paused.append(True), None):
        watch = Watch()
        where = database("postgresql", "app", "db", 5432, "shop")
        held = [_Held() for _ in range(10 * FEW)]
        for thing in held:
            watch.ledger.opened(CONNECTION, "test", where, thing, sys._getframe())
        found.append([(finding.rule, finding.count) for finding in watch.tick(pause=pause)])
    assert paused
    assert found == [[("too-many-at-once", 10 * FEW)]] * 2


class _Held:
    """What a handle refers to."""
