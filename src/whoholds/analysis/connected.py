"""Connected: the most connections that were open at once to each database, a pool's own too, exactly, from the stamps.

The trends of the history leave out what a bounded pool is meant to have; a summary of the run must not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from whoholds.ledger.handle import CONNECTION

if TYPE_CHECKING:
    from whoholds.analysis.pauses import Pauses
    from whoholds.ledger.database import Database
    from whoholds.ledger.entries import Entries
    from whoholds.ledger.handle import Handle

MANY = 1000  # databases that are remembered though nothing is open to them
_BUSIEST = 60  # of them, those that stay when there are more
_opened_stamp, _opened_at, _database = attrgetter("opened_stamp"), attrgetter("opened_at"), attrgetter("database")


@dataclass(slots=True)
class Connected:
    """The connections to one database: how many are open, and the most that ever were."""

    now: int = 0
    most: int = 0
    at: float = 0.0  # when that was reached, in seconds of the ledger's clock


@dataclass
class Connections:
    """The connections to each database."""

    to: dict[Database, Connected] = field(default_factory=dict)

    def take(self, taken: Entries, new: list[Handle], pauses: Pauses) -> None:
        """Count what this look brought: its `new` handles, and those that have ended."""
        opened = [handle for handle in new if handle.kind == CONNECTION]
        ended = [handle for handle in taken.ended if handle.kind == CONNECTION and handle.closed_stamp is not None]
        if ended:
            self._sweep(opened, ended)
        elif opened:
            self._add(sorted(opened, key=_opened_stamp), pauses)
        if len(self.to) > MANY:
            self._forget_quiet()

    def _of(self, database: Database) -> Connected:
        connected = self.to.get(database)
        if connected is None:
            connected = self.to[database] = Connected()
        return connected

    def _add(self, opened: list[Handle], pauses: Pauses) -> None:
        """Nothing has ended: more than now were never open."""
        counts: Counter[Database] = Counter()
        latest: dict[Database, float] = {}
        for few in pauses.between(opened):
            counts.update(map(_database, few))
            latest.update(zip(map(_database, few), map(_opened_at, few), strict=True))
        for database, count in counts.items():
            connected = self._of(database)
            connected.now += count
            if connected.now > connected.most:
                connected.most, connected.at = connected.now, latest[database]

    def _sweep(self, opened: list[Handle], ended: list[Handle]) -> None:
        changes = [(handle.opened_stamp, 1, handle) for handle in opened]
        changes += [(handle.closed_stamp or 0, -1, handle) for handle in ended]
        for _, change, handle in sorted(changes, key=itemgetter(0)):
            connected = self._of(handle.database)
            connected.now = max(connected.now + change, 0)
            if connected.now > connected.most:
                connected.most, connected.at = connected.now, handle.opened_at

    def _forget_quiet(self) -> None:
        """Of the databases to which nothing is open, keep those to which the most connections were open."""
        quiet = [(database, connected.most) for database, connected in self.to.items() if not connected.now]
        for database, _ in sorted(quiet, key=itemgetter(1), reverse=True)[_BUSIEST:]:
            del self.to[database]
