"""What is wanted of a pool: exact where it says so, and the sizes replayed against a pool of that size and of one less."""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, SHOP, World, thread
from whoholds.analysis.asking import Wait
from whoholds.analysis.demand import KEPT, NOTHING, POOLS, Demand, Present
from whoholds.analysis.replay import most_at_once
from whoholds.analysis.spread import WIDTH, Spread
from whoholds.ledger.handle import Handle, Request

if TYPE_CHECKING:
    from whoholds.ledger.handle import Pool

Wanted = tuple[float, float, float]  # asked at, seconds held, seconds used


class Shop:
    """A world with a pool of `size`, which lends in the order of asking."""

    def __init__(self, size: int) -> None:
        self.world = World()
        self.size = size
        self.pool = self.world.pool(most=size)
        self.connection = self.world.opens(pool=self.pool)
        self.owner = thread("Thread-1")

    def runs(self, wanted: list[Wanted], every: float = 1.0) -> None:
        """Lend what is wanted, with a look each so many seconds, and a last one when all has come back."""
        begin = self.world.clock()
        free = [begin] * self.size
        events: list[tuple[float, int, int]] = []
        for number, (asked, held, _) in enumerate(wanted):
            begins = max(begin + asked, heapq.heappop(free))
            heapq.heappush(free, begins + held)
            events += ((begin + asked, 2, number), (begins, 3, number), (begins + held, 1, number))
        looks = [begin + every * number for number in range(int((max(events)[0] - begin) / every) + 2)]
        events += [(at, 4, -1) for at in looks]
        lent: dict[int, Handle] = {}
        asking: dict[int, Request] = {}
        for at, what, number in sorted(events):
            self.world.clock.advance(max(at - self.world.clock(), 0.0))
            if what == 1:
                loan = lent.pop(number)
                loan.parent.calls_s = wanted[number][2]
                loan.settle()
                self.world.closes(loan)
            elif what == 2:
                asking[number] = Request(self.pool, self.owner, (), at)
                self.world.requests.append(asking[number])
            elif what == 3:
                self.world.requests.remove(asking.pop(number))
                asked = begin + wanted[number][0]
                connection = Handle("connection", "psycopg2", SHOP, self.owner, ())
                lent[number] = self.world.opens(
                    CARS, self.owner, kind="checkout", pool=self.pool, parent=connection, connect_s=at - asked
                )
            else:
                self.world.look()

    @property
    def demand(self) -> Demand:
        """What its looks have counted."""
        return self.world.history.demands[self.pool]


def waits(wanted: list[tuple[float, float]], size: int) -> list[float]:
    """How long each waits in a pool of that size that lends in the order of asking: the same, written once more."""
    busy_until: list[float] = []
    waited = []
    for asked, held in wanted:
        busy_until = sorted(one for one in busy_until if one > asked)
        begins = asked if len(busy_until) < size else busy_until[-size]
        waited.append(begins - asked)
        busy_until.append(begins + held)
    return waited


def bursts(seed: int, count: int) -> list[Wanted]:
    """Give demand that comes in bursts, with holds of all lengths, each used for a tenth of it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    asked, wanted = 0.0, []
    for _ in range(count):
        asked += chance.expovariate(40) if chance.random() < 0.9 else 1.0
        held = chance.expovariate(8)
        wanted.append((asked, held, held * 0.1))
    return wanted


def late(wanted: list[tuple[float, float]], size: int) -> float:
    return sum(wait >= 0.01 - 1e-9 for wait in waits(wanted, size)) / len(wanted)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [2, 50])
def test_the_sizes_are_enough_and_one_less_is_not(seed: int, size: int) -> None:
    """Whatever size the pool has that lent: it is the demand that counts, not how long it had to wait."""
    wanted = bursts(seed, 300)
    shop = Shop(size)
    shop.runs(wanted)
    found = shop.demand.sizes(NOTHING)
    assert found is not None
    held, used = [one[:2] for one in wanted], [(asked, seconds) for asked, _, seconds in wanted]
    assert max(waits(held, found.no_wait)) < 1e-9
    assert max(waits(held, found.no_wait - 1)) > 1e-9
    assert late(held, found.few_waits) <= 0.01 < late(held, found.few_waits - 1)
    assert found.only_used is not None
    assert late(used, found.only_used) <= 0.01
    assert found.only_used == 1 or late(used, found.only_used - 1) > 0.01
    assert found.only_used < found.few_waits <= found.no_wait
    assert shop.demand.times_as_long(NOTHING) == pytest.approx(10)


@pytest.mark.parametrize("every", [0.01, 0.7, 1000.0])
def test_the_most_wanted_at_once_is_exact(every: float) -> None:
    """Even if looks are rare: it is computed from the moments at which each loan was asked for and came back."""
    wanted, size = bursts(7, 200), 3
    shop = Shop(size)
    shop.runs(wanted, every)
    ends = [
        asked + wait + held for (asked, held, _), wait in zip(wanted, waits([w[:2] for w in wanted], size), strict=True)
    ]
    changes = sorted([(asked, 1) for asked, _, _ in wanted] + [(end, -1) for end in ends])
    count = most = 0
    for _, change in changes:
        count += change
        most = max(most, count)
    assert shop.demand.wanted == most
    assert (shop.demand.out, shop.demand.loans) == (0, len(wanted))


def test_those_who_wait_and_those_who_were_refused_are_wanted_too() -> None:
    """A pool of one: two wait, and one was refused a moment ago."""
    shop = Shop(1)
    world = shop.world
    world.look()
    world.clock.advance(1)
    world.opens(CARS, shop.owner, kind="checkout", pool=shop.pool, parent=shop.connection, connect_s=0.0)
    world.requests += [Request(shop.pool, shop.owner, (), world.clock()) for _ in range(2)]
    world.refuses(pool=shop.pool).requests.append(Request(shop.pool, shop.owner, (), world.clock() - 0.5))
    world.clock.advance(0.5)
    snapshot = world.look()
    demand, present = snapshot.demand_of(shop.pool)
    assert present.wanted == 3
    assert demand.wanted == 3  # the refused one was gone when the two came
    world.refuses(pool=shop.pool).requests.append(Request(shop.pool, shop.owner, (), world.clock()))
    world.clock.advance(0.5)
    world.look()
    assert demand.wanted == 4


@pytest.mark.parametrize(
    ("used", "sentence"),
    [
        (
            0.0,
            "6 connections were wanted at once. They are held without being used: give them back sooner before you enlarge the pool.",
        ),
        (
            0.1,
            "6 connections were wanted at once. They are held 10 times as long as they are used: give them back sooner before you enlarge the pool.",
        ),
        (
            0.8,
            "6 connections were wanted at once. They are in use for 80% of the time they are held: a pool of 6 would do.",
        ),
    ],
)
def test_one_sentence_says_what_to_do_first(used: float, sentence: str) -> None:
    """Six at the same moment, of a pool of two."""
    shop = Shop(2)
    shop.runs([(0.5, 1.0, used)] * 6)
    assert shop.demand.sentence(NOTHING) == sentence


def test_what_is_out_and_who_waits_count_at_this_moment() -> None:
    """Nothing has come back yet: two are in a statement, and four wait."""
    shop = Shop(2)
    for _ in range(2):
        shop.world.opens(CARS, shop.owner, kind="checkout", pool=shop.pool, parent=shop.connection)
    shop.connection.caller = 1
    shop.world.requests += [Request(shop.pool, shop.owner, (), shop.world.clock()) for _ in range(4)]
    shop.world.clock.advance(6)
    demand, present = shop.world.look().demand_of(shop.pool)
    assert (
        demand.sentence(present)
        == "6 connections were wanted at once. They are in use for 100% of the time they are held: a pool of 6 would do."
    )


def test_a_pool_that_refuses_at_once_was_too_small_at_that_moment() -> None:
    """psycopg2's waits for nothing: nobody is out for longer than the request, and the pool's own size is no advice."""
    shop = Shop(2)
    for _ in range(2):
        shop.world.opens(CARS, shop.owner, kind="checkout", pool=shop.pool, parent=shop.connection)
    shop.connection.caller = 1
    shop.world.clock.advance(6)
    demand, present = shop.world.look().demand_of(shop.pool)
    said = demand.sentence(present._replace(waiting=[shop.world.clock()]))
    assert (
        said
        == "3 connections were wanted at once. They are in use for 100% of the time they are held: a pool of 3 would do."
    )


def test_a_loan_whose_uses_cannot_be_seen_gives_no_size_for_its_use() -> None:
    """Nobody watches the connection that was lent."""
    shop = Shop(2)
    shop.world.closes(shop.world.opens(CARS, kind="checkout", pool=shop.pool))
    shop.world.look()
    assert shop.demand.sizes(NOTHING) == (1, 1, None)
    assert shop.demand.sentence(NOTHING) == "1 connection was wanted at once."
    assert Demand().sizes(NOTHING) is None


def test_the_busiest_stretch_is_kept_however_long_the_run() -> None:
    """Nine at once near the beginning, and then thousands one after the other: in bounded memory."""
    shop = Shop(20)
    shop.runs([(0.5, 1.0, 0.5)] * 9 + [(3 + number / 100, 0.005, 0.001) for number in range(6 * KEPT)], every=10)
    demand = shop.demand
    assert demand.loans == 9 + 6 * KEPT
    found = demand.sizes(NOTHING)
    assert found is not None
    assert found.no_wait == demand.wanted == 9
    assert len(demand._recent) <= 3 * KEPT
    assert len(demand._busiest) <= 3 * KEPT
    assert len(demand.waits.buckets) + len(demand.holds.buckets) < 50


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_spread_is_at_most_a_tenth_above_the_truth(share: float) -> None:
    """And never below it; the longest is exact."""
    chance = random.Random(3)  # noqa: S311 - no secret
    seconds = sorted(chance.lognormvariate(-4, 3) for _ in range(2000))
    spread = Spread()
    for begin in range(0, 2000, 100):
        spread.add(seconds[begin : begin + 100])
    true = seconds[int(share * 2000) - 1]
    assert true <= spread.at(share) * (1 + 1e-9)
    assert spread.at(share) <= true * WIDTH * (1 + 1e-9)
    assert spread.longest == spread.at(1.0) == seconds[-1]
    assert Spread().at(0.5) == 0.0


def test_pools_that_are_gone_are_forgotten_beyond_a_bound() -> None:
    """An engine for each request: those of the fewest loans go first, and one that is there never does."""
    world = World()
    first = world.pool()
    pools: list[Pool] = [first, *(world.pool() for _ in range(POOLS + 20))]
    for pool in pools:
        for _ in range(3 if pool is pools[5] else 1):
            world.closes(world.opens(CARS, kind="checkout", pool=pool))
        world.pools = [first]
        world.look()
    assert len(world.history.demands) == POOLS
    assert {first, pools[5], pools[-1]} <= set(world.history.demands)


def test_what_is_present_is_of_one_pool() -> None:
    """Its loans and its requests, and no others'."""
    world = World()
    pool, other = world.pool(), world.pool()
    for lender in (pool, other):
        world.opens(CARS, kind="checkout", pool=lender)
    world.opens(CARS, pool=pool)
    requests = [Request(lender, world.main, (), world.clock()) for lender in (pool, other)]
    assert Present.of(pool, world.open, Wait.of(requests), world.clock()).wanted == 2


def test_loans_that_begin_as_others_end_are_not_out_at_once_with_them() -> None:
    """Also those that were out for no time at all; counted anew at each moment."""
    numbers = random.Random(18)
    for _ in range(500):
        loans = [
            (float(numbers.randint(0, 8)), numbers.choice([0.0, 0.5, 1.0, 2.0]), 0.0)
            for _ in range(numbers.randint(1, 9))
        ]
        out = [sum(asked <= at < asked + held for asked, held, _ in loans) for at, _, _ in loans]
        assert most_at_once(loans) == max(1, *out), loans
    assert most_at_once([]) == 0
