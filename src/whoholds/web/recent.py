"""Recent: an output that keeps the records of what ended in the last minutes, in memory, for the page's picture.

It is added to the watch when a page is mounted, and never before. It must not grow without bound.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from whoholds import startup
from whoholds.analysis.finding import Look
from whoholds.analysis.history import Peak
from whoholds.ledger.handle import CURSOR
from whoholds.reporting.handle_records import HandleRecords, refused_records
from whoholds.reporting.pools import pool_records
from whoholds.reporting.records import aside_record, finding_record, peak_record, run_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.watching.watch import Watch

KEPT_S: Final = 900.0  # seconds that a record is kept
MOST_BYTES: Final = 4_000_000  # of all records that are kept, as JSON: some 5000 handles
MOST_OF_A_LOOK: Final = 2000  # handles that ended before one look of which records are made
MOST_OPEN: Final = 2000  # open handles that are drawn, the oldest
MOST_FINDINGS: Final = 100  # findings that are shown, the last ones


class Recent:
    """The records of the handles that ended and of the requests that were refused, each with the time of its look.

    The ticking thread calls it, and the thread that makes a page reads it. Neither waits for the other: what is kept
    stands in one value, which is replaced as a whole.
    """

    name = "page"
    silent = True  # a finding that is kept here has reached nobody

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._kept = Kept(self._wall())
        self._handles = HandleRecords()

    def __call__(self, look: Look) -> None:
        """Keep what is new in `look`, and drop what is too old or too much."""
        if self._pid != os.getpid():  # what the parent kept is of the parent's handles
            self._renew()
        snapshot, kept = look.snapshot, self._kept
        ended = [handle for handle in look.ended if handle.kind != CURSOR]
        records = [*self._handles.of(look, ended[-MOST_OF_A_LOOK:]), *refused_records(snapshot)]
        lines = [(snapshot.wall, json.dumps(record, default=str).encode()) for record in records]
        said = {finding.id: snapshot.wall for finding in look.findings if finding.id not in kept.said}
        self._kept = replace(
            kept.within(snapshot.wall - KEPT_S, lines, cut=len(ended) > MOST_OF_A_LOOK),
            snapshot=snapshot,
            said={**kept.said, **said} if said else kept.said,
        )

    @property
    def kept(self) -> Kept:
        """What is kept of this process."""
        return self._kept if self._pid == os.getpid() else Kept(self._wall())


@dataclass(frozen=True)
class Kept:
    """What is kept at one moment. Times are seconds since the epoch."""

    since: float  # from when on it is complete
    lines: tuple[tuple[float, bytes], ...] = ()  # records as JSON, each with the time of its look
    snapshot: Snapshot | None = None  # of the last look
    said: Mapping[str, float] = field(default_factory=dict)  # when each finding was first reported, by its id

    def within(self, oldest: float, new: list[tuple[float, bytes]], *, cut: bool) -> Kept:
        """With these lines, without those before `oldest`, and without the first if all are more than `MOST_BYTES`.

        `cut` says that records are missing before the new lines.
        """
        if not new and not (self.lines and self.lines[0][0] < oldest):
            return self
        lines = [line for line in (*self.lines, *new) if line[0] >= oldest]
        since = new[-1][0] if cut else max(self.since, oldest)
        room = MOST_BYTES
        for index in range(len(lines) - 1, -1, -1):
            room -= len(lines[index][1])
            if room < 0:
                return replace(self, lines=tuple(lines[index + 1 :]), since=max(since, lines[index][0]))
        return replace(self, lines=tuple(lines), since=since)


class Recorded:
    """The records of a watched process that still runs, as a journal of the last minutes would have them."""

    def __init__(self, watch: Watch, kept: Kept, snapshot: Snapshot) -> None:
        self.since = max(kept.since, snapshot.wall - KEPT_S)
        self.until = snapshot.wall
        self.remarks: list[str] = []
        self._watch = watch
        self._kept = kept
        self._snapshot = snapshot

    def __iter__(self) -> Iterator[dict[str, Any]]:
        watch, snapshot = self._watch, self._snapshot
        yield run_record(watch.limits, self.since)
        yield from (json.loads(line) for _, line in self._kept.lines)
        held = [handle for handle in snapshot.open if handle.kind != CURSOR]
        look = Look((), snapshot, watch.limits.source)
        yield from HandleRecords().of(look, held[:MOST_OPEN])
        if len(held) > MOST_OPEN:
            self.remarks.append(f"{len(held) - MOST_OPEN} more handles, which are open now, are not drawn")
        for database in snapshot.history.highest():
            yield peak_record(Peak(0, snapshot.now), database, snapshot)  # for the limit of its server
        yield from pool_records(snapshot)
        yield from (aside_record(aside, snapshot.wall) for aside in watch.asides.all)
        for finding in watch.findings[-MOST_FINDINGS:]:
            said = self._kept.said.get(finding.id) or finding.time or snapshot.wall
            yield finding_record(replace(finding, time=said), source=look.source)


_kept: dict[str, Recent] = {}  # one for all pages of the process, by its name


def keep() -> None:
    """Keep what ends from now on. A second call changes nothing, in whichever thread it is made."""
    if Recent.name not in _kept:
        new = Recent()
        if _kept.setdefault(Recent.name, new) is new:
            startup.add_output(new)


def forget() -> None:
    """Keep nothing any more, until the next mount or request."""
    while _kept:
        startup.remove_output(_kept.popitem()[1])


def recorded(watch: Watch) -> Recorded | None:
    """The records of the last minutes; None if none are kept of `watch`."""
    recent = _kept.get(Recent.name)
    if recent is None or not any(output is recent for output in watch.outputs):
        return None
    kept = recent.kept
    return Recorded(watch, kept, kept.snapshot) if kept.snapshot is not None else None
