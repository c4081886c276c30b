"""What the families share: which handles are somebody's to give back, and one finding a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis.finding import Finding, parts_of
from whoholds.analysis.rules import BITS
from whoholds.ledger.handle import CONNECTION, CURSOR, Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def loans(handles: Iterable[Handle], rule: str) -> list[Handle]:
    """Those that someone has to give back and that `rule` has not named yet: not what a pool owns, not cursors."""
    bit = BITS[rule]
    return [
        handle
        for handle in handles
        if not handle.told & bit
        and handle.kind != CURSOR
        and (handle.pool is None or handle.kind != CONNECTION)
        and not handle.at_home
    ]


def one_each(
    rule: str,
    handles: Iterable[Handle],
    severity: Callable[[tuple[Handle, ...]], str],
    words: Callable[[tuple[Handle, ...]], tuple[str, tuple[object, ...]]],
    *,
    why: Callable[[tuple[Handle, ...]], tuple[str, ...]] = lambda _: (),
    advice: tuple[str, ...] = (),
) -> Iterator[Finding]:
    """One finding for each opening line and spawn line among `handles`, whatever databases they lead to."""
    for part in parts_of(handles):
        phrase, numbers = words(part.handles)
        yield Finding(
            rule,
            severity(part.handles),
            part.handles[0].database,
            part.handles,
            part.count,
            phrase,
            numbers,
            part.site,
            part.spawn,
            why=why(part.handles),
            advice=advice,
        )
