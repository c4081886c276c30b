"""What watching has cost this process so far: a value, and an estimate of the memory that the ledger takes."""

from __future__ import annotations

from sys import getsizeof
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.history import History
    from whoholds.ledger.handle import Handle

SAMPLED = 100  # handles whose sizes are added up; the others are taken to be as large
ENTRY_BYTES = 104  # of a dict, for one handle: the bench measures 100 to 110
NUMBERS_BYTES = 112  # the numbers of a handle: two floats, two stamps


class Cost(NamedTuple):
    """What this process has paid since the watch began, or since it was forked."""

    looks: int  # that have been taken
    cpu_s: float  # CPU time of the threads that took them, in the looks alone
    events: int  # openings, closings, loans and returns that were recorded
    dropped: int  # events that were only counted


NOTHING_YET = Cost(0, 0.0, 0, 0)


def memory_of(handles: Sequence[Handle], history: History) -> int:
    """About how many bytes the ledger and the history take, with `handles` open. Takes less than 1 ms."""
    sample = handles[:: max(len(handles) // SAMPLED, 1)]
    origins = {id(handle.origin): handle.origin for handle in sample}
    each = sum(map(_size, sample)) / len(sample) + ENTRY_BYTES if sample else 0.0
    own = sum(map(getsizeof, origins.values())) / len(sample) if sample else 0.0
    lines = sum([getsizeof(site) + getsizeof(site.origin) for site in history.sites])
    demands = sum(demand.size for demand in list(history.demands.values()))  # another thread may look meanwhile
    return int(len(handles) * (each + own)) + lines + demands


def _size(handle: Handle) -> int:
    ring = sum(getsizeof(call) + getsizeof(call[0]) for call in handle.ring if call)
    reference = getsizeof(handle.ref) if handle.ref is not None else 0
    return getsizeof(handle) + NUMBERS_BYTES + reference + getsizeof(handle.ring) + ring
