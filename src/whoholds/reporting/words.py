"""The words for handles, numbers, durations and databases that several reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.frames import shown_path
from whoholds.ledger.database import address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whoholds.ledger.database import Database

UNKNOWN_LINE = "an unknown line"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_IN_MEMORY = "?mode=memory"
_LONGEST_IN_MEMORY, _HEAD = 60, 24  # characters of such a name that are shown, and how many of its beginning
STANDARD_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


def named_process(pid: int, number: int | None = 0) -> str:
    """`process 4711`, or `process 4711, interpreter 1` where `number` is not that of its main interpreter."""
    return f"process {pid}{f', interpreter {number}' if number else ''}"


def plural(count: int) -> str:
    """The ending of a noun for so many: "s", or "" for one."""
    return "s" * (count != 1)


def number_of(count: int, what: str) -> str:
    """`1 finding`, `3 findings`."""
    return f"{count} {what}{plural(count)}"


def are(count: int) -> str:
    """`is` or `are`."""
    return "is" if count == 1 else "are"


def has(count: int) -> str:
    """`has` or `have`."""
    return "has" if count == 1 else "have"


def seconds_text(seconds: float) -> str:
    """`0.4 ms`, `12 ms`, `1.3 s`."""
    if seconds < 0.01:  # noqa: PLR2004 - below it one more digit is shown
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def lasting(seconds: float) -> str:
    """`3 ms`, `12.4 s`, `5 min 3 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def roughly(seconds: float | None) -> str:
    """`93 s`, `12 min`, `3 h` or `2 days`: as a server tells durations, of which some are not known."""
    if seconds is None:
        return "an unknown time"
    for size, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def bytes_text(size: float) -> str:
    """`7 kB`, `1.3 MB`."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"  # noqa: PLR2004 - a megabyte


def recorded_place(line: dict[str, Any] | None) -> str:
    """`shop/cars.py:42 in load_cars`, of a line as records have it; None stands for an unknown line.

    Where the record has a `place`, that is shown: the process that wrote it knows what its paths are relative to.
    """
    if not line:
        return UNKNOWN_LINE
    place = line.get("place") or f"{shown_path(line['file'])}:{line['line']}"
    return f"{place} in {line['function']}"


def place_of_group(group: dict[str, Any]) -> str:
    """The opening line of a described group; for what was opened before the watch, what refers to it."""
    return group.get("referrer") or recorded_place(group["opened"])


def verb_of_group(group: dict[str, Any]) -> str:
    """`opened`, `borrowed`; `held` for what was opened before the watch."""
    return "held" if group.get("referrer") else opening_verb(group["kind"])


def most_held(description: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    """`36 connections`, `35 of them opened at`, and the group that holds most; None if nothing is held."""
    groups = [group for database in description["databases"] for group in database["groups"]]
    if not groups:
        return None
    most = max(groups, key=lambda group: group["count"])
    which = "" if len(groups) == 1 else f"{most['count']} of them "
    return number_of_handles(description["held"], most["kind"]), f"{which}{verb_of_group(most)} at", most


def more_of(database: dict[str, Any], shown: int) -> str:
    """`and 7 more from 3 other lines`, those that are not among the first `shown` of a described database; or ""."""
    groups = database["groups"]
    lines = max(len(groups) - shown, 0) + database.get("lines_left_out", 0)  # an earlier version leaves none out
    rest = database["count"] - sum(group["count"] for group in groups[:shown])
    return f"and {rest} more from {number_of(lines, 'other line')}" if lines else ""


def kept_at_home(description: dict[str, Any]) -> str:
    """`; pools and threads keep 4 for the next request`, or "" if they keep none; an earlier version does not say."""
    kept = description.get("kept")
    return f"; pools and threads keep {kept} for the next request" if kept else ""


def by_owners(group: dict[str, Any]) -> str:
    """`, by 35 threads, of which 31 have ended, such as Thread-3`: who holds a described group."""
    ended = group.get("owners_ended", 0)  # an earlier version does not say
    return by_names(group["owners"], group["owner_kind"], group["owner_count"], ended, more=group.get("more_owners"))


def by_names(names: Sequence[str], kind: str, count: int, ended: int = 0, *, more: object = False) -> str:
    """`, by 35 threads, such as Thread-3`: `count` owners, of whom `ended` have ended; several may have one name.

    With `more`, there may be others.
    """
    if not names:
        return ", by an unknown owner"
    if count == 1 and not more:
        return f", by {names[0]}{', which has ended' if ended else ''}"
    of_them = " that have ended" if ended == count else f", of which {ended} {has(ended)} ended" if ended else ""
    return f", by {at_least(more)}{number_of(count, kind)}{of_them}, such as {names[0]}"


def some_owners(count: int, group: dict[str, Any], *, noun: bool = True) -> str:
    """`31 threads`: so many owners of a described group; `200 of 300 threads` if not all of them were looked at.

    Without `noun`, the numbers alone.
    """
    least = at_least(group.get("more_owners"))
    of_all = group["owner_count"] if group.get("not_looked_at") else 0  # an earlier version does not say
    numbers = f"{count} of {least}{of_all}" if of_all else f"{least}{count}"
    return f"{numbers} {group['owner_kind']}{plural(of_all or count)}" if noun else numbers


def at_least(more: object) -> str:
    """`at least ` before a number, if there may be `more`."""
    return "at least " if more else ""


def noun(kind: str, count: int) -> str:
    """`connection` or `cursor` for handles of this kind, in the plural unless it is one."""
    return f"{'cursor' if kind == 'cursor' else 'connection'}{plural(count)}"


def number_of_handles(count: int, kind: str) -> str:
    """`1 connection`, `3 cursors`."""
    return f"{count} {noun(kind, count)}"


def opening_verb(kind: str) -> str:
    """The verb for what the opening line did: `borrowed` if the handles are loans of a pool, else `opened`."""
    return "borrowed" if kind == "checkout" else "opened"


def database_name(database: Database) -> str:
    """`app@127.0.0.1/shop`, with the port unless it is the standard port; for a file, the path from `shown_path`.

    The name of an sqlite database in memory, which a program may make of anything, is cut in its middle if it is long.
    """
    if not database.host:
        name = shown_path(database.name) if database.name.startswith(("/", "\\")) else database.name
        return _cut_in_memory(name) or database.text
    user = f"{database.user}@" if database.user else ""
    usual = database.port is None or database.port == STANDARD_PORTS.get(database.system)
    host = address(database.host, None if usual else database.port)
    return f"{user}{host}/{database.name}"


def named_database(text: str) -> str:
    """The same name from the text of a `Database`, as journals have it: `postgresql://app@127.0.0.1:5432/shop`."""
    system, _, rest = text.partition("://")
    where, slash, name = rest.partition("/")
    if not slash or not name:
        return text
    if not where:
        return _cut_in_memory(shown_path(name))
    return f"{where.removesuffix(f':{STANDARD_PORTS.get(system)}')}/{name}"


def _cut_in_memory(name: str) -> str:
    """`shop-5f2…9c1?mode=memory` if the name of a database in memory is long; else `name`."""
    long = len(name) > _LONGEST_IN_MEMORY and name.endswith(_IN_MEMORY)
    return f"{name[:_HEAD]}…{name[len(name) - _LONGEST_IN_MEMORY + _HEAD + 1 :]}" if long else name
