"""Who holds what now, as text: the one renderer of what `watching.description` describes.

It reads the description alone, so that another process can render it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.reporting.groups import group_lines
from whoholds.reporting.pools import pool_lines
from whoholds.reporting.words import (
    bytes_text,
    kept_at_home,
    more_of,
    most_held,
    named_process,
    number_of,
    number_of_handles,
    place_of_group,
    seconds_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_GROUPS = 50  # of a database, the largest first
SHOWN_FINDINGS = 20  # the latest


def description_text(description: dict[str, Any]) -> str:
    """The whole text: in one line the answer, then who holds what, the pools, the findings so far, and the cost."""
    return "\n".join(
        [
            f"whoholds: {_answer(description)}",
            *held_lines(description["databases"], description["held"]),
            *pool_lines(description["pools"], description.get("pools_left_out", 0)),
            *_finding_lines(description),
            *_aside_lines(description["asides"]),
            f"whoholds: {_process(description['process'])}",
            f"whoholds: {cost_text(description['cost'])}",
        ]
    )


def held_text(databases: Sequence[dict[str, Any]], pools: Sequence[dict[str, Any]], held: int) -> str:
    """Who holds what, grouped by database, opening line and spawn line, then the pools; `held` is the whole number."""
    return "\n".join([*(held_lines(databases, held) or ["whoholds: nothing is held"]), *pool_lines(pools)])


def held_lines(databases: Sequence[dict[str, Any]], held: int) -> list[str]:
    """The lines on each database and its groups; none if nothing is held. `held` is how much is held in all."""
    lines: list[str] = []
    for database in databases:
        groups = database["groups"]
        of_limit = f", of {database['limit']} that the server allows" if database["limit"] else ""
        count = number_of_handles(database["count"], groups[0]["kind"])
        lines.append(f"whoholds: {count} open to {database['name']}{of_limit}")
        for group in groups[:SHOWN_GROUPS]:
            lines += group_lines(group, statements=True)
        if more := more_of(database, SHOWN_GROUPS):
            lines.append(f"   {more}")
    elsewhere = held - sum(database["count"] for database in databases)
    if databases and elsewhere > 0:
        lines.append(f"whoholds: {number_of(elsewhere, 'connection')} open to other databases")
    return lines


def _answer(description: dict[str, Any]) -> str:
    """`shop.py (process 4711) holds 36 connections, 35 of them opened at shop/cars.py:42 in load_cars`."""
    process = description["process"]
    who = f"{process['program']} ({named_process(process['pid'], process.get('interpreter'))})"
    most = most_held(description)
    if most is None:
        return f"{who} holds no connection now{kept_at_home(description)}"
    held, which, group = most
    return f"{who} holds {held}, {which} {place_of_group(group)}"


def _finding_lines(description: dict[str, Any]) -> list[str]:
    """One line for each finding so far, the latest last; none if there was no finding."""
    findings = [finding for finding in description["findings"] if finding["severity"] != "info"]
    if not findings:
        return ["whoholds: no findings so far"]
    shown = findings[-SHOWN_FINDINGS:]
    left_out = len(findings) - len(shown) + description["findings_left_out"]
    before = f", of which the last {len(shown)} follow" if left_out else ""
    return [
        f"whoholds: {number_of(len(findings) + description['findings_left_out'], 'finding')} so far{before}:",
        *(f"    {finding['severity']:<8} {finding['message']}" for finding in shown),
    ]


def _aside_lines(asides: Sequence[dict[str, Any]]) -> list[str]:
    return [f"whoholds: {aside['reason']} [{aside['slug']}]" for aside in asides]


def _process(process: dict[str, Any]) -> str:
    """`process 4711 on web-1, started 2026-11-26T06:30:00Z, Python 3.12.4, whoholds 1.0`."""
    name = named_process(process["pid"], process.get("interpreter"))
    return (
        f"{name} on {process['host']}, started {process['started']}, "
        f"Python {process['python']}, whoholds {process['version']}"
    )


def cost_text(cost: dict[str, Any]) -> str:
    """`the watch has cost 2.3 ms of CPU time in 4 looks (0.1 % of a core), and about 7 kB of memory …`."""
    dropped = f", {cost['dropped']} more only counted" if cost["dropped"] else ""
    return (
        f"the watch has cost {seconds_text(cost['cpu_s'])} of CPU time in {number_of(cost['looks'], 'look')} "
        f"({cost['cpu_share']:.2%} of a core), and about {bytes_text(cost['memory_bytes'])} of memory; "
        f"{number_of(cost['events'], 'event')} recorded{dropped}"
    )
