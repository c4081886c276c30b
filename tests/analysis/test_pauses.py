"""Pauses: a look over many handles lets other threads run, and a short one does not."""

from __future__ import annotations

from whoholds.analysis.pauses import FEW, STRETCH_S, Pauses
from whoholds.analysis.snapshot import Snapshot
from whoholds.detectors.idle import cursor_left_open, held_too_long, idle_in_transaction
from whoholds.detectors.left import owner_gone
from whoholds.ledger.database import database
from whoholds.ledger.handle import Handle
from whoholds.settings.limits import Limits
from whoholds.testing.fakes import FakeClock


def test_a_look_pauses_when_it_has_worked_for_a_stretch() -> None:
    """Not before, and not again until it has worked for another one since the pause."""
    clock, paused = FakeClock(), []
    pauses = Pauses(lambda: paused.append(clock()), clock)
    for _ in range(4):
        pauses()
        clock.advance(STRETCH_S / 2 * 1.01)
    pauses()
    assert len(paused) == 2


def test_every_item_comes_once_and_in_order() -> None:
    """A long list comes in parts, with a pause before each part after the first where one is due."""
    clock, paused = FakeClock(), []
    pauses = Pauses(lambda: paused.append(True), clock)
    items = list(range(3 * FEW + 1))
    seen: list[int] = []
    for few in pauses.between(items):
        seen += few
        clock.advance(STRETCH_S * 1.01)
    assert seen == items
    assert len(paused) == 3


def test_without_a_pause_a_list_comes_whole() -> None:
    """Where somebody waits for the look, no time is lost."""
    items = list(range(3 * FEW))
    assert [few is items for few in Pauses().between(items)] == [True]


def test_a_pass_over_all_open_handles_pauses() -> None:
    """Detectors that look at each of very many handles let other threads run in between."""
    clock, paused = FakeClock(), []
    handles = [Handle("connection", "psycopg2", database("postgresql"), None, ()) for _ in range(2 * FEW)]
    for handle in handles:
        handle.used_at = clock()
    clock.advance(1.0)

    def pause() -> None:
        paused.append(clock())
        clock.advance(STRETCH_S * 1.01)

    pauses = Pauses(pause, clock)
    clock.advance(STRETCH_S * 1.01)
    snapshot = Snapshot(clock(), 0.0, handles, pauses=pauses)
    for detector in (owner_gone, held_too_long, idle_in_transaction, cursor_left_open):
        before = len(paused)
        assert list(detector(snapshot, Limits())) == []
        assert len(paused) > before, detector
        clock.advance(STRETCH_S * 1.01)
