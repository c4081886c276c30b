"""The upper part of the page, as HTML: who holds most, then every line that holds something, and the pools.

It reads the description alone. Every text of the program becomes text, never markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from whoholds.reporting.words import (
    UNKNOWN_LINE,
    are,
    by_owners,
    kept_at_home,
    lasting,
    more_of,
    most_held,
    number_of,
    number_of_handles,
    some_owners,
)
from whoholds.text.markup import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_GROUPS: Final = 30  # of each database, the largest
FORMS: Final = (("As text", "?format=text"), ("As JSON", "?format=json"), ("Look again", "?format=html"))


def now_as_html(description: dict[str, Any]) -> str:
    """The section `now` of the page."""
    databases = description["databases"]
    links = "".join(f'<a href="{href}">{name}</a>' for name, href in FORMS)
    parts = [
        f'<h2 id="now-heading">{_answer(description)}</h2>',
        *map(_queue, description["pools"]),
        f'<p class="forms">{links}</p>',
        *map(_database, databases),
        _pools(description["pools"]),
    ]
    return f'<section id="now" aria-labelledby="now-heading">{"".join(parts)}</section>'


def _answer(description: dict[str, Any]) -> str:
    """`36 connections are held now, 35 of them opened at shop/cars.py:42 in load_cars`."""
    most = most_held(description)
    if most is None:
        return f"No connection is held now{kept_at_home(description)}."
    held, which, group = most
    return f"{shown(held)} {are(description['held'])} held now, {which} {_place_of_group(group)}"


def _queue(pool: dict[str, Any]) -> str:
    """`3 requests wait for the pool made at shop/db.py:7 in <module>, for up to 12.4 s`; "" if none waits."""
    waiting = pool["waiting"]
    if not waiting:
        return ""
    count, longest = sum(asking["count"] for asking in waiting), max(asking["longest_s"] for asking in waiting)
    said = f"{number_of(count, 'request')} {'waits' if count == 1 else 'wait'} for the pool made at"
    return f'<p class="queue">{said} {_place(pool["made"])}, for {"up to " * (count > 1)}{lasting(longest)}</p>'


def _database(database: dict[str, Any]) -> str:
    count, limit = database["count"], database["limit"]
    allowed = f", of {limit} that the server allows" if limit else ""
    held = number_of_handles(count, database["groups"][0]["kind"])
    groups = database["groups"]
    items = "".join(_group(group, count) for group in groups[:SHOWN_GROUPS])
    more = more_of(database, SHOWN_GROUPS)
    heading = f"<h3>{shown(held)} to {shown(database['name'])}{allowed}</h3>"
    return f'{heading}<ul class="groups">{items}</ul>{f"<p>{more}</p>" if more else ""}'


def _group(group: dict[str, Any], of: int) -> str:
    """One opening line with one spawn line; `of` is the number of all that are held to its database."""
    facts = [
        ("session made at", _place(group["made"]) if group["made"] else ""),
        ("spawned at", _place(group["spawned"]) if group["spawned"] else ""),
        ("for", shown(group["work"])),
        ("now", _now(group)),
        ("held", f"for {'up to ' * (group['count'] > 1)}{lasting(group['longest_s'])}{shown(by_owners(group))}"),
        ("last calls", "<br>".join(map(_statement, group["statements"]))),
    ]
    share = f'<rect width="{max(round(100 * group["count"] / of), 1)}" height="2"/>'
    return (
        f'<li><p class="count">{group["count"]}</p><div>'
        f'<svg class="share" viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true">{share}</svg>'
        f'<div class="where"><p class="place">{_place_of_group(group)}</p>{_source(group["opened"])}</div>'
        f"{_facts(facts)}{_holders(group)}{_stack('Where the oldest was opened', group['opening_stack'])}</div></li>"
    )


def _place_of_group(group: dict[str, Any]) -> str:
    """The opening line; for what was opened before the watch, what refers to it."""
    return shown(group["referrer"]) if group["referrer"] else _place(group["opened"])


def _place(line: dict[str, Any] | None) -> str:
    """The line as `<code>shop/cars.py:42</code> in load_cars`."""
    return f"<code>{shown(line['place'])}</code> in {shown(line['function'])}" if line else UNKNOWN_LINE


def _source(line: dict[str, Any] | None) -> str:
    return f'<p class="source"><code>{shown(line["source"])}</code></p>' if line and line["source"] else ""


def _now(group: dict[str, Any]) -> str:
    """Where the holders are: `22 at shop/cars.py:51 in price_of, idle in transaction`; else their states alone."""
    several = group["owner_count"] > 1
    places = [
        f"{some_owners(place['count'], group, noun=False) if several else ''} at {_place(place['at'])}, "
        f"{shown(place['state'])}"
        for place in group["now"]
    ]
    return "<br>".join(place.lstrip() for place in places) or _states(group)


def _states(group: dict[str, Any]) -> str:
    several = group["count"] > 1
    return shown(", ".join(f"{count} {state}" if several else state for state, count in group["states"].items()))


def _statement(statement: dict[str, Any]) -> str:
    ago, took = lasting(statement["ago_s"]), lasting(statement["took_s"])
    return f"{ago} ago: <code>{shown(statement['statement'])}</code>, took {took}"


def _holders(group: dict[str, Any]) -> str:
    heads = ("by", "state", "held", "unused for", "calls", "now at")
    rows = "".join(_row(holder) for holder in group["holders"])
    count, listed = group["count"], len(group["holders"])
    title = f"The holder{'s' * (count > 1)} one by one" if count == listed else f"The {listed} oldest one by one"
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    scrolls = f'class="scrolls" tabindex="0" role="group" aria-label="{title}"'  # by keys, too
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<details><summary>{title}</summary><div {scrolls}>{table}</div></details>"


def _row(holder: dict[str, Any]) -> str:
    work = f" for {holder['work']}" if holder["work"] else ""
    cells = (
        shown(f"{holder['name'] or 'an unknown owner'}{work}"),
        shown(holder["state"]),
        lasting(holder["held_s"]),
        "" if holder["idle_s"] is None else lasting(holder["idle_s"]),
        "" if holder["uses"] is None else str(holder["uses"]),
        _place(holder["now"]) if holder["now"] else "",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _stack(title: str, frames: Iterable[dict[str, Any]]) -> str:
    items = "".join(f"<li>{_place(frame)}{_source(frame)}</li>" for frame in frames)
    return f'<details><summary>{title}</summary><ol class="frames">{items}</ol></details>' if items else ""


def _pools(pools: list[dict[str, Any]]) -> str:
    """The pools that have lent: how many connections are lent now, and who waits."""
    items = "".join(map(_pool, pools[:SHOWN_GROUPS]))
    return f'<h3>Pools</h3><ul class="groups">{items}</ul>' if items else ""


def _pool(pool: dict[str, Any]) -> str:
    waiting = pool["waiting"]
    count = sum(asking["count"] for asking in waiting)
    of = f" of {pool['max']}" if pool["max"] else ""
    facts = [
        ("made at", _place(pool["made"])),
        *(
            ("waiting", f"{asking['count']} for up to {lasting(asking['longest_s'])} at {_place(asking['asked'])}")
            for asking in waiting
        ),
        ("wanted", f"{pool['wanted']} at once at most, since the start"),
    ]
    said = f"{pool['out']}{of} lent now" + (f", {number_of(count, 'request')} waiting" if count else "")
    where = f'<div class="where"><p class="place">{shown(said)}</p></div>'
    waits = ' class="waits"' if count else ""
    return f'<li{waits}><p class="count">{pool["out"]}</p><div>{where}{_facts(facts)}</div></li>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """A list of the facts that are known: names, and values as HTML."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts if value)}</dl>"
