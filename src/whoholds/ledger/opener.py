"""The span in which something was opened or spawned: kept as a span context and a weak reference."""

from __future__ import annotations

from time import time_ns

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.owner import Owner

    # (its SpanContext, a weak reference to the span), and once it is known when the span ended, or that it ran when
    # the handle was closed: (its SpanContext, None, that time of the ledger's clock, or None where it still ran).
    # A plain tuple: a class of its own would double the price of an opening's 0.4 µs.
    Opener: TypeAlias = tuple[Any, ...]


SUPPRESSED: Opener = (None, None, None)  # the program asked that nothing be recorded here


def opener_of(handle: Handle) -> Opener | None:
    """The span current at the opening, else at the spawning of its owner or of one of that owner's ancestors."""
    if handle.context is not None:
        return handle.context  # type: ignore[no-any-return]  # what `current` gave
    return opener_of_owner(handle.owner)


def opener_of_owner(owner: Owner | None) -> Opener | None:
    """The span current at the spawning of `owner` or of one of its ancestors, the nearest first."""
    while owner is not None and owner.spawn is not None:
        if owner.spawn.context is not None:
            return owner.spawn.context  # type: ignore[no-any-return]
        owner = owner.spawn.by
    return None


def runs(opener: Opener) -> bool:
    """Whether the opener's span has not ended; one that cannot tell runs as long as somebody keeps it."""
    if len(opener) > 2:  # noqa: PLR2004 - the answer was kept at the closing
        return opener[2] is None
    span = opener[1]()
    return span is not None and getattr(span, "end_time", None) is None


def closing(handle: Handle, now: float | None = None, *, lived: bool = True) -> None:
    """Keep whether the opener's span ran when `handle` was closed. Called where that is, any thread: 0.3 µs.

    A handle that freed itself is told of later, `now` of the ledger's clock; `lived`: its span was there at that time.
    """
    opener = opener_of(handle)
    if opener is None or len(opener) != 2:  # noqa: PLR2004 - a look has seen that span end
        return
    closed = handle.closed_at or 0.0
    ended: float | None
    if now is None:
        ended = _ended(opener, closed)
    elif not lived:
        ended = closed
    else:
        ended = _ended(opener, now)
        ended = None if ended is None or ended > closed else ended
    handle.context = (opener[0], None, ended)


def follow(handle: Handle, now: float) -> None:
    """Keep when the opener's span ended, once it has, while `handle` is open. Called at each look: 0.2 µs."""
    opener = opener_of(handle)
    if opener is not None and len(opener) == 2:  # noqa: PLR2004 - not known yet
        ended = _ended(opener, now)
        if ended is not None and handle.closed_stamp is None:
            handle.context = (opener[0], None, ended)


def _ended(opener: Opener, now: float) -> float | None:
    """When the opener's span ended, by the ledger's clock, None while it runs; of one that is freed already: `now`."""
    span = opener[1]()
    if span is None:
        return now
    ended: int | None = getattr(span, "end_time", None)
    return None if ended is None else now - (time_ns() - ended) / 1e9
