"""The labels of metrics: bounded in number, and a different one for each pool that is there.

OpenTelemetry asks for a pool name that is unique in the program: the one that the program gave, else
`server.address:server.port/db.namespace`. Labels are given out on the tick alone; the SDK's thread only reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from whoholds.ledger.ledger import NOWHERE
from whoholds.outputs.otel import describe, names
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Pool

DATABASES = 100  # databases and pools with a label of their own; all others share one label
LINES = 20  # the same for opening lines, and for the classes of pools that have not connected


class Bounded:
    """Bounds a label: the first `most` values stay as they are, every later value becomes `other`."""

    def __init__(self, most: int, other: Any = names.OTHER) -> None:
        self._most = most
        self._other = other
        self.known: dict[Any, None] = {}

    def of(self, value: Any) -> Any:
        """`value`, or `other` if there are too many values."""
        if value in self.known:
            return value
        if len(self.known) >= self._most:
            return self._other
        self.known[value] = None
        return value


class PoolLabels:
    """What `db.client.connection.pool.name` is for each pool, and for the connections without a pool."""

    def __init__(self) -> None:
        self._bounded = Bounded(DATABASES)
        self._classes = Bounded(LINES)
        self._pools: WeakKeyDictionary[Pool, str] = WeakKeyDictionary()
        self._first: set[str] = set()  # the labels without a number that a pool has or had

    @property
    def known(self) -> list[str]:
        """All labels so far, without those of classes."""
        return list(self._bounded.known)

    def see(self, snapshot: Snapshot) -> None:
        """Give a label to each new pool of `snapshot` that has connected, or that the program has named.

        The second of a name gets `#2`; the label of a pool that is gone is given out again, so that a program that
        makes pools without end has no labels without end.
        """
        connected = {handle.pool: handle.database for handle in snapshot.new if handle.pool is not None}
        new = [pool for pool in dict.fromkeys((*snapshot.pools, *connected)) if pool not in self._pools]
        if not new:
            return
        unlisted = [pool for pool in self._pools if not pool.key]  # such as a StaticPool, which has one connection
        taken = {self._pools.get(pool) for pool in (*snapshot.pools, *unlisted)}
        for pool in new:
            demand = snapshot.history.demands.get(pool)
            database = connected.get(pool) or (demand.database if demand is not None else None)
            if pool.named:
                first = shown_name(pool.name)
            elif database is not None and database is not NOWHERE:
                first = describe.label_of(database)
            else:
                continue
            labels = (first, *(f"{first}#{number}" for number in range(2, DATABASES + 1)))
            self._pools[pool] = label = next((label for label in labels if label not in taken), names.OTHER)
            self._first.add(first)
            taken.add(label)

    def of(self, pool: Pool | None, database: Database | None) -> str:
        """The label of the pool, or of the database if there is no pool; `_other` beyond `DATABASES` labels.

        Pools that have no label yet are added up under the name of their class.
        """
        if pool is not None:
            label = self._pools.get(pool)
            return str(self._classes.of(shown_name(pool.name)) if label is None else self._bounded.of(label))
        text = describe.label_of(database) if database is not None else names.OTHER
        return str(self._bounded.of(f"{text} without a pool" if text in self._first else text))
