"""How many were open at once, by the stamps of openings and closings: against counting one by one."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest

from whoholds.analysis.peaks import most_reached, reaches
from whoholds.analysis.standing import Count

TIMES = 300


def counts_of(before: int, begun: list[int], ended: list[int]) -> list[int]:
    """How many were open, from the first moment on."""
    steps = [1 if stamp in begun else -1 for stamp in sorted([*begun, *ended])]
    return list(accumulate(steps, initial=before))


def world(random: Random) -> tuple[int, list[int], list[int]]:
    """How many are open, and the stamps of what begins and ends then; never fewer than none are open."""
    before = count = random.randrange(4)
    begun, ended = [], []
    for stamp in range(1, random.randrange(2, 30)):
        if count and random.random() < 0.5:
            ended.append(stamp)
            count -= 1
        else:
            begun.append(stamp)
            count += 1
    return before, begun, ended


@pytest.mark.parametrize("seed", range(5))
def test_a_number_is_reached_if_counting_comes_to_it(seed: int) -> None:
    """Whatever was open before, and in whatever order they begin and end."""
    random = Random(seed)
    for _ in range(TIMES):
        before, begun, ended = world(random)
        counts = counts_of(before, begun, ended)
        for many in range(len(counts) + 3):
            assert reaches(many - before, begun, ended) == (max(counts) >= many), (before, begun, ended, many)


@pytest.mark.parametrize("seed", range(5))
def test_the_most_is_what_counting_gives(seed: int) -> None:
    """Or what is known already, where that is more."""
    random = Random(seed)
    for _ in range(TIMES):
        before, begun, ended = world(random)
        most = max(counts_of(before, begun, ended))
        for known in range(before, len(begun) + before + 2):
            reached = before + most_reached(known - before, begun, ended)
            assert reached == max(most, known), (before, begun, ended, known)


def test_an_end_counts_before_a_beginning_of_the_same_time() -> None:
    """What is given back at the moment at which it is asked for again is not wanted twice."""
    assert not reaches(2, [1.0, 2.0], [2.0, 3.0])
    assert reaches(2, [1.0, 2.0], [2.5, 3.0])


def test_a_great_many_at_once_take_few_passes() -> None:
    """A stretch in which thousands wait: in one pass for each of them a look would take seconds."""
    passes: list[int] = []

    class Counted(list[float]):
        def __getitem__(self, part: object) -> list[float]:  # type: ignore[override]
            passes.append(1)
            return super().__getitem__(part)  # type: ignore[call-overload, no-any-return]

    begun, ended = Counted(map(float, range(10_000))), [20_000.0 + number for number in range(10_000)]
    assert most_reached(1, begun, ended) == 10_000
    assert len(passes) < 20


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_is_crowded_where_two_were_open_and_one_of_them_was_closed(seed: int) -> None:
    """Over several looks, with what is freed without a close; the stamps come in any order."""
    random = Random(seed)
    for _ in range(TIMES):
        count, opened, crowded, stamp = Count(), 0, False, 0
        for _look in range(4):
            freed = random.randrange(count.open + 1)
            now = count.open - freed
            begun, ended, counts = [], [], [now]
            for _ in range(random.randrange(8)):
                stamp += 1
                if now and random.random() < 0.5:
                    ended.append(stamp)
                    now -= 1
                else:
                    begun.append(stamp)
                    now += 1
                counts.append(now)
            opened += len(begun)
            crowded = crowded or max(counts) > max(now, 1)
            random.shuffle(begun)
            random.shuffle(ended)
            count.sweep(begun, ended, freed)
            assert (count.open, count.opened, count.crowded) == (now, opened, crowded)
