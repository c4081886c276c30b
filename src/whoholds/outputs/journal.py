"""The `journal` output: it writes the run to a file as JSON lines, at every look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from whoholds.reporting.files import expanded
from whoholds.reporting.handle_records import HandleRecords, refused_records
from whoholds.reporting.journal import Writer, path_of
from whoholds.reporting.losses import LOST, mark
from whoholds.reporting.pools import pool_record, pool_records
from whoholds.reporting.records import (
    aside_record,
    end_record,
    finding_record,
    open_record,
    peak_record,
    run_record,
)

if TYPE_CHECKING:
    from whoholds.analysis.finding import Look
    from whoholds.settings.limits import Limits

DEFAULT = "whoholds-{pid}.jsonl"


class JournalOutput:
    """Writes looks as records. Each process writes its own `run` record, and its own file if the path has `{pid}`."""

    name = "journal"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._path = expanded(limits.journal or DEFAULT)  # at the start: the working directory may change or be deleted
        self._pid = 0
        self._highest: dict[str, int] = {}
        self._wanted: dict[int, int] = {}  # by the key of each pool
        self._held: list[Any] | None = None  # `lines` of the last `open` record of this process
        self._writer: Writer | None = None
        self._handles = HandleRecords()

    def __call__(self, look: Look) -> None:
        """Write the records that are new in `look`. The ticking thread calls this.

        Raises OSError if the file cannot be written; the watch then switches this output off.
        """
        whole = False
        try:
            self._write(look)
            whole = not self.dropped
        finally:
            if not whole:
                mark(LOST)

    def _write(self, look: Look) -> None:
        records: list[dict[str, Any]] = []
        if self._writer is None or self._pid != os.getpid():
            self._open()
            records.append(run_record(self._limits, look.snapshot.wall))
        snapshot = look.snapshot
        records += [aside_record(aside, snapshot.wall) for aside in look.asides]
        records += [finding_record(finding, source=look.source) for finding in look.findings]
        records += self._handles.of(look, look.ended)
        records += refused_records(snapshot)
        for database, peak in snapshot.history.highest().items():
            if peak.count > self._highest.get(database.text, 1):
                self._highest[database.text] = peak.count
                records.append(peak_record(peak, database, snapshot))
        records += self._pools_of(look)
        if look.last:
            records += self._handles.of(look, snapshot.open)
            records.append(end_record(snapshot.wall, look.left_out))
        elif self._held is None or snapshot.new or look.ended:
            held = open_record(snapshot)
            if held["lines"] != self._held:
                self._held = held["lines"]
                records.append(held)
        if self._writer is not None:
            self._writer.write(records)
            if look.last:
                if self._writer.removed:
                    mark(LOST)
                self._writer.close()

    def _pools_of(self, look: Look) -> list[dict[str, Any]]:
        """The records of the pools: at the end, and before it whenever more than ever are wanted at once."""
        if look.last:
            return pool_records(look.snapshot)
        records = []
        for pool, demand in look.snapshot.history.demands.items():
            if demand.wanted > self._wanted.get(pool.key, 1):
                self._wanted[pool.key] = demand.wanted
                records.append(pool_record(pool, look.snapshot))
        return records

    @property
    def dropped(self) -> int:
        """The number of records that were dropped because the file was full after its rotation."""
        return self._writer.dropped if self._writer is not None else 0

    def _open(self) -> None:
        if self._writer is not None:  # the writer of the parent process
            self._writer.close()
        self._highest.clear()
        self._wanted.clear()
        self._held = None
        self._handles = HandleRecords()
        self._pid = os.getpid()
        self._writer = Writer(path_of(self._path), self._limits.journal_mb * 1_000_000)
