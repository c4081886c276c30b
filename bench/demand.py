"""What it costs to count the demand of pools: CPU time and memory, all in the thread that looks.

    python bench/demand.py

For looks with few and with many loans, it prints the best of several rounds in µs for each loan, and the same for all of
the look's bookkeeping; then the time to compute the sizes, and the memory that one pool's demand takes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.worlds import World

from whoholds.analysis import demand
from whoholds.analysis.demand import NOTHING
from whoholds.analysis.history import History
from whoholds.analysis.placing import snapshot_of
from whoholds.ledger.entries import Entries

ROUNDS = 15


def look_at(world: World, loans: int) -> Entries:
    """The entries of a look for so many loans of one pool, two at once, which came back before the look."""
    pool = world.pools[0]
    stock = [world.opens(pool=pool) for _ in range(2)]
    out = []
    for number in range(loans):
        connection = stock[number % 2]
        out.append(world.opens(kind="checkout", pool=pool, parent=connection, connect_s=1e-5 * (number % 7 + 1)))
        world.clock.advance(1e-4)
        if len(out) == len(stock):
            loan = out.pop(0)
            loan.settle()
            world.closes(loan)
    ended, world.ended = world.ended, []
    return Entries(world.clock(), 1, [], ended, [], [], [], world.pools, 0)


def main() -> None:
    """Print the table."""
    print(f"{'loans in a look':>16}  {'demand':>10}  {'whole look':>10}   µs a loan")
    for loans in (10, 100, 1000, 10_000):
        counted, looked = [], []
        for _ in range(ROUNDS):
            world = World()
            world.pool(most=2)
            taken = look_at(world, loans)
            began = time.thread_time()
            demand.take({}, taken, taken.ended, 0.0)
            counted.append((time.thread_time() - began) / loans)
            began = time.thread_time()
            snapshot_of(taken, History(), 1e6)
            looked.append((time.thread_time() - began) / loans)
        print(f"{loans:>16}  {min(counted) * 1e6:>10.2f}  {min(looked) * 1e6:>10.2f}")
    world = World()
    world.pool(most=2)
    taken = look_at(world, 5000)
    demands: dict[object, demand.Demand] = {}
    demand.take(demands, taken, taken.ended, 0.0)  # type: ignore[arg-type]
    (one,) = demands.values()
    asked = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        one.sizes(NOTHING)
        asked.append(time.thread_time() - began)
    print(f"the three sizes, when asked for: {min(asked) * 1e3:.1f} ms")
    memory = sum(map(sys.getsizeof, (one._recent, one._busiest, one.waits.buckets, one.holds.buckets)))
    print(f"memory of one pool's demand after 5000 loans: {memory / 1000:.0f} kB")


if __name__ == "__main__":
    main()
