"""Finding: one thing wrong, said once; Look: what one tick brought. Values; they do nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.rules import rule_of
from whoholds.ledger.opener import opener_of
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whoholds.analysis.frames import Frame
    from whoholds.analysis.sites import Site
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.opener import Opener
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner, Spawn

INFO, WARNING, ERROR = "info", "warning", "error"
SEVERITIES = (INFO, WARNING, ERROR)


@dataclass(frozen=True)
class Part:
    """A group of handles with one opening line and one spawn line."""

    handles: tuple[Handle, ...]
    site: Site | None
    spawn: Spawn | None
    unkept: int = 0  # handles of the group that nobody kept

    @property
    def count(self) -> int:
        """How many handles."""
        return len(self.handles) + self.unkept

    @property
    def spawned(self) -> Site | None:
        """The line that started the owners, None for the main thread outside any task."""
        return self.spawn.site if self.spawn else None

    @property
    def owners(self) -> tuple[str, ...]:
        """Names of the distinct owners, oldest handle first."""
        return owner_names(self.handles)


def owner_names(handles: Iterable[Handle]) -> tuple[str, ...]:
    """The distinct owners' names, in the handles' order; a job goes by its worker's."""
    owners: dict[Owner, str] = {}
    for handle in handles:
        if handle.owner is not None:
            owners.setdefault(handle.owner, shown_name(handle.owner.name))
    return tuple(dict.fromkeys(owners.values()))


def parts_of(handles: Iterable[Handle], line: Callable[[Handle], Site | None] = attrgetter("site")) -> tuple[Part, ...]:
    """The handles grouped by opening and spawn line, largest group first, oldest handle first in each.

    `line` gives the line to name for a handle: its opening line, unless somebody else made it.
    """
    handles = sorted(handles, key=lambda one: one.opened_stamp)
    if not handles:  # as nearly always: a process that idles shall not wake for more
        return ()
    groups: dict[tuple[Site | None, Site | None], list[Handle]] = {}
    for handle in handles:
        spawn = handle.owner.spawn if handle.owner else None
        groups.setdefault((line(handle), spawn.site if spawn else None), []).append(handle)
    parts = [
        Part(tuple(group), site, group[0].owner.spawn if group[0].owner else None)
        for (site, _), group in groups.items()
    ]
    return tuple(sorted(parts, key=lambda part: -part.count))


class Also(NamedTuple):
    """A second line that belongs to a finding, and what it is: `refused`, `used`, `the first taken`."""

    what: str
    site: Site

    @classmethod
    def at(cls, what: str, site: Site | None) -> Also | None:
        """The second line, None where it is not known."""
        return cls(what, site) if site is not None else None


@dataclass(frozen=True)
class Finding:
    """One thing wrong. `handles` share one opening and one spawn line, but where there are `parts`.

    A detector fills in the upper half; the watch adds `id`, `time` and what merging brought.
    """

    rule: str
    severity: str
    database: Database
    handles: tuple[Handle, ...]
    count: int
    phrase: str = ""  # of the message, with %-places for `numbers`
    numbers: tuple[object, ...] = ()
    site: Site | None = None
    spawn: Spawn | None = None
    parts: tuple[Part, ...] = ()
    why: tuple[str, ...] = ()  # what a person wants to know next, a sentence each
    advice: tuple[str, ...] = ()  # what to do, a line each
    also: Also | None = None  # a second line that belongs to it
    stacks: tuple[tuple[str, Origin], ...] = ()  # of those whom the rule is about, each with what it is
    doing: tuple[tuple[Handle, Origin], ...] = ()  # the live stacks of the holders, added by the watch
    error: str = ""  # the program's own exception, redacted
    adds_up: bool = True  # counts of repeats are summed; else the highest counts
    times: int = 0  # how often it happened, where that is counted: requests that were refused
    opener: Opener | None = None  # the trace it happened in, where that is not its handles'
    names: tuple[str, ...] = ()  # of the owners that it is about, where they are not those of its handles
    # --- by the watch
    id: str = ""
    time: float = 0.0  # seconds since the epoch
    now: float = 0.0  # seconds of the ledger's clock at that moment
    since: int = 0  # how many more since it was said last
    scope: str = ""  # name of the test, request or job that ended

    @classmethod
    def of(
        cls,
        part: Part,
        rule: str,
        severity: str,
        phrase: str,
        *numbers: object,
        why: tuple[str, ...] = (),
        advice: tuple[str, ...] = (),
    ) -> Finding:
        """A finding about the handles of one part: its lines, its count, and the database of its first handle."""
        return cls(
            rule,
            severity,
            part.handles[0].database,
            part.handles,
            part.count,
            phrase,
            numbers,
            part.site,
            part.spawn,
            why=why,
            advice=advice,
        )

    @property
    def kind(self) -> str:
        """`connection`, `checkout` or `cursor`."""
        return self.handles[0].kind if self.handles else "connection"

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two findings of two looks one: rule, lines, scope; the database where the rule is about one."""
        database = self.database.text if rule_of(self.rule).of_one_database else ""
        return (self.rule, database, self.site, self.spawned, self.scope, self.also.site if self.also else None)

    @property
    def in_order(self) -> tuple[Handle, ...]:
        """Its handles, those of the largest part first."""
        return self.parts[0].handles if self.parts else self.handles

    @property
    def span_context(self) -> Any:
        """OpenTelemetry's SpanContext of where it happened, else of its first handle opened in a trace; or None."""
        for opener in (self.opener, *map(opener_of, self.in_order)):
            if opener is not None and opener[0] is not None:
                return opener[0]
        return None

    @property
    def spans(self) -> tuple[str, str]:
        """Trace id and span id of that, in hex; empty where there is none."""
        context = self.span_context
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context is not None else ("", "")

    @property
    def spawned(self) -> Site | None:
        """The line that started the owners, or None."""
        return self.spawn.site if self.spawn else None

    @property
    def opened(self) -> Frame | None:
        """The opening line, readable."""
        return self.site.frame if self.site else None

    @property
    def fingerprint(self) -> str:
        """Stable from run to run: rule, opening function, spawn function, kind of database; no line, no pid."""
        opened = self.site.frame.function if self.site else ""
        spawned = self.spawned.frame.function if self.spawned else ""
        text = f"{self.rule}\n{opened}\n{spawned}\n{self.database.system}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def lines(self) -> tuple[Frame | None, ...]:
        """Opening and spawn line: what ignore rules are matched against."""
        return (self.opened, self.spawned.frame if self.spawned else None)


class Aside(NamedTuple):
    """Something of whoholds that stands aside, and why: a driver, an output, a predicate, a detector, a look."""

    slug: str  # its section in docs/settings.md
    reason: str


@dataclass(frozen=True)
class Look:
    """What one tick brought, for outputs: findings to be said, handles that ended, the snapshot they come from."""

    findings: tuple[Finding, ...]
    snapshot: Snapshot
    source: bool = True  # whether source lines may be shown
    all: tuple[Finding, ...] = ()  # with the last look: all that was found, merged
    remarks: tuple[str, ...] = ()  # with the last look: what was dropped, unwatched or ignored in vain
    found: tuple[Finding, ...] = ()  # all that was found, also what is held back as a repeat
    asides: tuple[Aside, ...] = ()  # what stands aside since the look before

    @property
    def ended(self) -> list[Handle]:
        """The handles that closed or were freed since the look before."""
        return self.snapshot.ended

    @property
    def last(self) -> bool:
        """Whether the process or the watch ends with this look."""
        return self.snapshot.ending is not None and self.snapshot.ending.kind in ("process", "watch")
