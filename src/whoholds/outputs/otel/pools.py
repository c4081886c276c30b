"""What the instruments on pools read: who waits now, and how large the pools must be. Each label is a pool's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from whoholds.analysis.demand import NOTHING
from whoholds.outputs.otel import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.demand import Demand
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Pool

Value: TypeAlias = "tuple[float, dict[str, Any]]"


class Labels(Protocol):
    """The part of `Metrics` that these functions need."""

    sizes: Sizes

    def label(self, pool: Pool | None, database: Database | None) -> str:
        """The name of the pool."""


class Sizes:
    """The sizes that would have been enough, of each pool: computed again only after further loans."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, dict[str, int]]] = {}  # by pool: the number of loans, and the sizes for them

    def of(self, pool: Pool, demand: Demand) -> dict[str, int]:
        """The sizes by goal, for the loans that came back."""
        loans, sizes = self._known.get(pool.key, (0, {}))
        if demand.loans > loans:
            enough = demand.sizes(NOTHING)
            by_goal = enough._asdict() if enough is not None else {}
            sizes = {goal: size for goal, size in by_goal.items() if size is not None}
            self._known[pool.key] = (demand.loans, sizes)
        return sizes


def longest_wait(metrics: Labels, snapshot: Snapshot) -> Iterator[Value]:
    """How long those have waited who wait now, at most; 0 for a pool for which nobody waits."""
    longest = {metrics.label(pool, None): 0.0 for pool in snapshot.pools}
    for request in snapshot.requests:
        label = metrics.label(request.pool, None)
        longest[label] = max(longest.get(label, 0.0), snapshot.now - request.began)
    for label, seconds in longest.items():
        yield seconds, {names.POOL_NAME: label}


def wanted(metrics: Labels, snapshot: Snapshot) -> Iterator[Value]:
    """The most connections that were lent and waited for at once."""
    most: dict[str, int] = {}
    for pool, demand in list(snapshot.history.demands.items()):
        label = metrics.label(pool, None)
        most[label] = max(most.get(label, 0), demand.wanted)
    for label, count in most.items():
        yield count, {names.POOL_NAME: label}


def used_share(metrics: Labels, snapshot: Snapshot) -> Iterator[Value]:
    """The share of the time that loans were out in which a call ran on them."""
    held: dict[str, list[float]] = {}
    for pool, demand in list(snapshot.history.demands.items()):
        sums = held.setdefault(metrics.label(pool, None), [0.0, 0.0])
        sums[0] += demand.used_s
        sums[1] += demand.held_s
    for label, (used, seconds) in held.items():
        if seconds:
            yield used / seconds, {names.POOL_NAME: label}


def sizes(metrics: Labels, snapshot: Snapshot) -> Iterator[Value]:
    """The sizes that would have been enough, by goal; of pools with one name the largest."""
    largest: dict[tuple[str, str], int] = {}
    for pool, demand in list(snapshot.history.demands.items()):
        label = metrics.label(pool, None)
        for goal, size in metrics.sizes.of(pool, demand).items():
            largest[label, goal] = max(largest.get((label, goal), 0), size)
    for (label, goal), size in largest.items():
        yield size, {names.POOL_NAME: label, names.GOAL: goal}
