"""How large a pool must be: as a record of the journal, and as lines for a person, from the same numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from whoholds.analysis.asking import asking
from whoholds.ledger.database import database
from whoholds.reporting.records import asking_record, here_record, iso, line_record
from whoholds.reporting.words import number_of, recorded_place, seconds_text
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.analysis.snapshot import Snapshot
    from whoholds.analysis.spread import Spread
    from whoholds.ledger.handle import Pool

SHOWN = 10  # pools that are listed, those of which most was wanted at once


def pool_record(pool: Pool, snapshot: Snapshot) -> dict[str, Any]:
    """What has been wanted of `pool` up to this look. Times in seconds; the sizes are null if there was no loan."""
    demand, present = snapshot.demand_of(pool)
    known = demand.loans or pool.referrer is None  # else all loans were out before the watch: for how long is not known
    sizes, times = demand.sizes(present) if known else None, demand.times_as_long(present)
    requests = [request for request in snapshot.requests if request.pool is pool]
    return {
        "type": "pool",
        "time": iso(snapshot.wall),
        **here_record(),
        "key": pool.key,
        "name": shown_name(pool.name),
        "made": line_record(pool.site),
        "referrer": pool.site.text if pool.referrer is not None and pool.site is not None else None,
        "database": (demand.database or database(pool.system or "other_sql")).text,
        "max": pool.max,
        "loans": demand.loans + len(present.out),
        "wanted": max(demand.wanted, present.wanted),
        "used_share": None if times is None else 0.0 if times == math.inf else round(1 / times, 4),
        "wait_s": _spread(demand.waits),
        "held_s": _spread(demand.holds),
        "timeouts": pool.timeouts,
        "waiting": [asking_record(group) for group in asking(requests, snapshot.now, snapshot.history.sites)],
        "sizes": None if sizes is None else sizes._asdict(),
    }


def _spread(spread: Spread) -> dict[str, float]:
    return {
        "p50": round(spread.at(0.5), 6),
        "p99": round(spread.at(0.99), 6),
        "longest": round(spread.longest, 6),
    }


def pool_records(snapshot: Snapshot, most: int | None = None) -> list[dict[str, Any]]:
    """The records of all pools that have lent, those of which most was wanted at once first.

    With `most`, of so many pools: those that somebody waits for, then those of which most was wanted at once.
    """
    pools = list(snapshot.history.demands)
    if most is not None and len(pools) > most:
        waited_for = {request.pool for request in snapshot.requests}
        wanted = snapshot.history.demands
        pools = sorted(pools, key=lambda pool: (pool not in waited_for, -wanted[pool].wanted))[:most]
    records = [pool_record(pool, snapshot) for pool in pools]
    return sorted(records, key=lambda record: -record["wanted"])


def pool_lines(records: Sequence[dict[str, Any]], left_out: int = 0) -> list[str]:
    """The lines on each pool that has lent, at most `SHOWN` pools, those of which most was wanted at once first.

    `left_out` is how many pools have no record.

    Three lines for each, and one for each line at which somebody waits.
    """
    lent = sorted((record for record in records if record["sizes"]), key=lambda record: -record["wanted"])
    lines = [line for record in lent[:SHOWN] for line in _lines(record)]
    lines += [_adopted(record) for record in records if record.get("referrer") and not record["sizes"]][:SHOWN]
    rest = max(len(lent) - SHOWN, 0) + left_out
    if rest:
        lines.append(f"whoholds: and {number_of(rest, 'more pool')}, of which fewer were wanted at once")
    return lines


def _lines(record: dict[str, Any]) -> list[str]:
    sizes, used, loans = record["sizes"], record["used_share"], record["loans"]
    place = f"made at {recorded_place(record['made'])}" if not record.get("referrer") else f"at {record['referrer']}"
    most = f", {record['max']} at most" if record["max"] else ""
    most += f", {record['out']} lent now" if record.get("out") else ""
    wanted = f"{number_of(loans, 'loan')}, {record['wanted']} wanted at once"
    if used is not None:
        wanted += f", used for {used:.0%} of the time they were held" if used else ", never used"
    enough = f"{sizes['no_wait']} if nobody may wait, {sizes['few_waits']} if 1 % may wait for 10 ms or longer"
    if sizes["only_used"] is not None:
        enough += f", {sizes['only_used']} if each were held only while it is used"
    held = f"held {_spread_text(record['held_s'])}" if record["held_s"]["longest"] else "none was given back yet"
    return [
        f"whoholds: the pool {place}{most}: {wanted}",
        f"whoholds:   waited {_spread_text(record['wait_s'])}; {held}",
        f"whoholds:   large enough: {enough}",
        *map(_waiting, record.get("waiting") or ()),
    ]


def _adopted(record: dict[str, Any]) -> str:
    """`the pool at shop/app.py (global pool), 5 at most, 3 lent now`: all of its loans were out before the watch."""
    most = f", {record['max']} at most" if record["max"] else ""
    return f"whoholds: the pool at {record['referrer']}{most}, {record.get('out', record['wanted'])} lent now"


def _waiting(asking: dict[str, Any]) -> str:
    """`3 requests wait now, for up to 2.1 s, at shop/page.py:20 in page`."""
    waits = f"{asking['count']} requests wait now, for up to" if asking["count"] > 1 else "1 request waits now, for"
    return f"whoholds:   {waits} {asking['longest_s']:.1f} s, at {recorded_place(asking['asked'])}"


def _spread_text(spread: dict[str, float]) -> str:
    median, most, longest = (seconds_text(spread[name]) for name in ("p50", "p99", "longest"))
    return f"{median} (median), {most} (99 %), {longest} (longest)"
