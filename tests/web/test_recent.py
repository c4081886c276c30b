"""What is kept for the picture is bounded, by time and by size, and says from when on it is complete."""

from __future__ import annotations

from tests.worlds import CARS, Program
from whoholds.web.recent import KEPT_S, MOST_BYTES, MOST_OF_A_LOOK, Kept, Recent


def lines(*times: float, size: int = 10) -> list[tuple[float, bytes]]:
    """Records of this size, at these times."""
    return [(at, b"x" * size) for at in times]


def test_what_is_too_old_is_dropped() -> None:
    """By the time of its look."""
    kept = Kept(0.0).within(0, lines(1, 2, 3), cut=False).within(2, lines(4), cut=False)
    assert [at for at, _ in kept.lines] == [2, 3, 4]
    assert kept.since == 2


def test_what_is_too_much_is_dropped() -> None:
    """The first records go, and the rest is complete from the last of them on."""
    quarter = MOST_BYTES // 4
    kept = Kept(0.0).within(0, lines(1, 2, 3, size=quarter), cut=False)
    assert (len(kept.lines), kept.since) == (3, 0)
    kept = kept.within(0, lines(4, 5, 6, size=quarter), cut=False)
    assert [at for at, _ in kept.lines] == [3, 4, 5, 6]
    assert kept.since == 2
    assert sum(len(line) for _, line in kept.lines) <= MOST_BYTES


def test_one_record_that_is_too_large_is_not_kept() -> None:
    """And nothing before it."""
    kept = Kept(0.0).within(0, [*lines(1), *lines(2, size=MOST_BYTES + 1)], cut=False)
    assert (kept.lines, kept.since) == ((), 2)


def test_a_quiet_process_costs_nothing() -> None:
    """Where nothing ended and nothing is too old, nothing is made anew."""
    kept = Kept(0.0).within(0, lines(1, 2), cut=False)
    assert kept.within(0, [], cut=False) is kept


def test_of_a_look_with_very_many_the_last_are_kept() -> None:
    """And the picture begins there."""
    recent = Recent(wall=lambda: 1.0)
    program = Program(recent)
    for _ in range(MOST_OF_A_LOOK + 5):
        program.ledger.closed(program.opens(CARS))
    program.looks()
    kept = recent.kept
    assert len(kept.lines) == MOST_OF_A_LOOK
    assert kept.since == kept.lines[-1][0] > 1.0


def test_what_ended_long_ago_is_not_kept() -> None:
    """A look that finds nothing new drops it, too."""
    recent = Recent()
    program = Program(recent)
    program.ledger.closed(program.opens(CARS))
    program.looks()
    assert len(recent.kept.lines) == 1
    program.clock.advance(KEPT_S + 1)
    program.looks()
    assert recent.kept.lines == ()
