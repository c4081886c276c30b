"""Who holds what now: as values, as text, and printed on stderr when a signal comes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from whoholds.hooks import signals
from whoholds.ledger import faults
from whoholds.reporting.held import held_text
from whoholds.reporting.words import recorded_place
from whoholds.text.streams import say
from whoholds.watching.description import database_records, description_of, held_now, pool_descriptions
from whoholds.watching.stacks import Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.watching.watch import Watch


UNWATCHED = "this process is not watched, so nothing is known: set WHOHOLDS=1, or call whoholds.start()"


class Holders:
    """The handles that are held at one moment. Iterating gives the handles, oldest first; `str()` gives the report.

    `now` is that moment by the ledger's clock, in seconds. `pools` has for each pool what the journal's `pool` record
    has: how many were wanted at once, how long loans waited and were held, and how large it must be. `databases` has
    what is held, as docs/dump.md describes it.
    """

    def __init__(
        self,
        handles: list[Handle],
        now: float,
        *,
        doing: dict[Handle, Origin] | None = None,
        pools: list[dict[str, Any]] | None = None,
        source: bool = True,
        watched: bool = True,
    ) -> None:
        self.handles = handles
        self.now = now
        self.pools = pools or []
        self._doing = doing or {}
        self._source = source
        self._watched = watched

    @property
    def databases(self) -> list[dict[str, Any]]:
        """What is held, by database, opening line and spawn line."""
        return database_records(self.handles, self.now, self._doing, source=self._source)

    def __iter__(self) -> Iterator[Handle]:
        return iter(self.handles)

    def __len__(self) -> int:
        return len(self.handles)

    def __str__(self) -> str:
        if not self._watched:
            return f"whoholds: {UNWATCHED}"
        try:
            return held_text(self.databases, self.pools, len(self.handles))
        except Exception as error:  # noqa: BLE001 - our fault: the program, or a signal's thread, asked for a text
            faults.note(error, "whoholds.holders")
            return f"whoholds: {len(self.handles)} held, which cannot be shown ({type(error).__name__})"

    def _repr_html_(self) -> str:
        """The report in a notebook, below a table of the lines that hold something."""
        from whoholds.text.markup import card, table, unfoldable

        rows = [
            (
                str(group["count"]),
                database["database"],
                _place(group["opened"]),
                _place(group["spawned"]),
                f"{group['longest_s']:.1f} s",
                ", ".join(group["owners"]),
            )
            for database in self.databases
            for group in database["groups"]
        ]
        if not rows:
            return card("nothing is held" if self._watched else UNWATCHED)
        heads = ("held", "database", "opened at", "spawned at", "for up to", "by")
        return card(f"{len(self.handles)} held", table(heads, rows), unfoldable("The whole report", str(self)))


def _place(line: dict[str, Any] | None) -> str:
    return recorded_place(line) if line is not None else ""


def holders_of(watch: Watch | None) -> Holders:
    """The handles that `watch` sees held now; empty if `watch` is None. Ticks the watch; never raises.

    Handles that a pool or a thread has at home are left out, and so are a pool's own connections, for which its loans
    stand.
    """
    if watch is None:
        return Holders([], 0.0, watched=False)
    try:
        held, doing, now = _looked(watch)
        pools = pool_descriptions(watch.snapshot) if watch.snapshot is not None else []
        return Holders(held, now, doing=doing, pools=pools, source=watch.limits.source)
    except Exception as error:  # noqa: BLE001 - our fault must not become the program's
        faults.note(error, "whoholds.holders")
        return Holders([], 0.0)


def described(watch: Watch) -> dict[str, Any]:
    """The description of this process at this moment, as docs/dump.md has it. Ticks the watch.

    It may raise: the caller guards it.
    """
    held, doing, now = _looked(watch)
    return description_of(watch, held, doing, now)


def _looked(watch: Watch) -> tuple[list[Handle], dict[Handle, Origin], float]:
    """What is held after a look at this moment, the stacks of the holders that were looked at, and the moment."""
    known = watch.handles  # before the tick, which finds each one's line: later handles have none yet
    watch.tick()
    held = held_now(known)
    return held, dict(Stacks().of(held).looked_at()), watch.ledger.clock()


def dump_on_signal(name: str, holders: Callable[[], Holders]) -> Callable[[], None]:
    """Print the result of `holders` on stderr whenever the signal `name` comes, then call the program's handler.

    The signal's handler only starts a thread, so that the text is not printed in the middle of the program's own write.
    Returns a function that gives the signal back to the program's handler.
    """
    number = getattr(signal, name)

    def dump(received: int, frame: Any) -> None:
        import _thread

        _thread.start_new_thread(_print, (holders,))
        theirs = signals.behind(number)
        if callable(theirs):
            theirs(received, frame)

    try:
        signals.listen(number, dump)
    except ValueError:  # this is not the main thread
        say(f"whoholds: WHOHOLDS_DUMP_SIGNAL={name}: signals can be set in the main thread only")

    def restore() -> None:
        try:
            signals.listen_no_more(number)
        except ValueError:  # this is not the main thread: our handler stays, and calls the program's
            pass

    return restore


def _print(holders: Callable[[], Holders]) -> None:
    say(str(holders()))
