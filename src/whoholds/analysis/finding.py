"""Finding: one fault of the program, reported once. Look: the result of one tick. Both are values without effects."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.cost import NOTHING_YET
from whoholds.analysis.frames import frame_at
from whoholds.analysis.rules import rule_of
from whoholds.ledger.opener import opener_of
from whoholds.text.redact import redact, shown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from whoholds.analysis.asking import Asking
    from whoholds.analysis.cost import Cost
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
_owner = attrgetter("owner")


@dataclass(frozen=True)
class Part:
    """A group of handles that share one opening line and one spawn line."""

    handles: tuple[Handle, ...]
    site: Site | None
    spawn: Spawn | None
    unkept: int = 0  # handles that are counted, but of which no object was kept
    more_owners: bool = False  # whether those may have had other owners than the handles that were kept

    @property
    def count(self) -> int:
        """The number of handles, with those of which no object was kept."""
        return len(self.handles) + self.unkept

    @property
    def spawned(self) -> Site | None:
        """The line that started the owners; None for the main thread outside any task."""
        return self.spawn.site if self.spawn else None

    @property
    def owners(self) -> tuple[str, ...]:
        """The names of the distinct owners, in the order of their oldest handles."""
        return owner_names(self.handles)


def owner_names(handles: Iterable[Handle]) -> tuple[str, ...]:
    """The names of the distinct owners, in the order of the handles. A job has the name of its worker."""
    owners: dict[Owner, str] = {}
    for handle in handles:
        if handle.owner is not None:
            owners.setdefault(handle.owner, shown_name(handle.owner.name))
    return tuple(dict.fromkeys(owners.values()))


def naturally(name: str) -> list[tuple[int, str]]:
    """A key that sorts `Task-2` before `Task-10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def holders_of(handles: Iterable[Handle]) -> set[Owner]:
    """The distinct owners, of which several may have one name; the worker of a job, the task that awaits a worker."""
    return {holder_of(owner) for owner in set(map(_owner, handles)) if owner is not None}


def holder_of(owner: Owner) -> Owner:
    """The owner itself, the worker of a job, or the task that awaits a worker."""
    return owner.thread or owner if owner.kind == "job" else owner.whole


def not_looked_at(handles: Iterable[Handle], doing: Container[Handle]) -> int:
    """How many of the owners that hold something now were not looked at. `doing` has the handles of the others."""
    held = [handle for handle in handles if handle.open]
    seen = holders_of(handle for handle in held if handle in doing)
    return len(holders_of(handle for handle in held if handle not in doing) - seen)


def made_at(handles: Iterable[Handle], *, source: bool = True) -> Frame | None:
    """The line that made the session which borrowed most of the handles, or None.

    None if no session borrowed them, or if the opening line is in the same function and so leads there.
    """
    counts = Counter((handle.made, handle.site) for handle in handles if handle.made)
    for (made, site), _ in counts.most_common(1):
        if site is None or site.origin[site.index] is not made[0]:
            return frame_at(made, 0, source=source)
    return None


def parts_of(handles: Iterable[Handle], line: Callable[[Handle], Site | None] = attrgetter("site")) -> tuple[Part, ...]:
    """The handles grouped by opening line and spawn line: the largest group first, in each the oldest handle first.

    `line` returns the line to name for a handle; the default is its opening line.
    """
    handles = sorted(handles, key=attrgetter("opened_stamp"))
    if not handles:  # the usual case, which must cost an idle process next to nothing
        return ()
    groups: dict[tuple[Site | None, Site | None], list[Handle]] = {}
    group: list[Handle] = []
    latest: object = group  # no site
    latest_owner: Owner | None = None
    for handle, site, owner in zip(handles, map(line, handles), map(_owner, handles), strict=True):
        if site is not latest or owner is not latest_owner:  # of many handles a loop's are alike
            latest, latest_owner = site, owner
            spawn = owner.spawn if owner is not None else None
            group = groups.setdefault((site, spawn.site if spawn is not None else None), [])
        group.append(handle)
    parts = [
        Part(tuple(group), site, group[0].owner.spawn if group[0].owner else None)
        for (site, _), group in groups.items()
    ]
    return tuple(sorted(parts, key=lambda part: -part.count))


def share(some: int, count: int) -> str:
    """`35 of ` for the message of a finding about `count` handles; "" if they are all the same."""
    return f"{some} of " if some != count else ""


class Also(NamedTuple):
    """A second line that belongs to a finding, and the word for it: `refused`, `used`, `the first taken`."""

    what: str
    site: Site
    joined_by: str = ""  # the words before the line in the message; "": a comma, `what` and "at"

    @classmethod
    def at(cls, what: str, site: Site | None, joined_by: str = "") -> Also | None:
        """The second line, or None if `site` is None."""
        return cls(what, site, joined_by) if site is not None else None


@dataclass(frozen=True, eq=False)
class Doing:
    """(handle, live stack of its owner) for each holder whose stack could be read: pairs that are made when read.

    A look may make hundreds of findings about the same thousands of handles.
    """

    held: Sequence[Handle]  # also those whose owners' stacks could not be read
    stacks: Mapping[Owner | None, Origin]  # of the owners that were looked at; () for a stack that could not be read

    def __iter__(self) -> Iterator[tuple[Handle, Origin]]:
        return ((handle, stack) for handle, stack in self.looked_at() if stack)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def looked_at(self) -> Iterator[tuple[Handle, Origin]]:
        """The same, also with those whose stack could not be read: it is empty."""
        stacks = self.stacks
        return ((handle, stacks[owner]) for handle in self.held if (owner := handle.owner) in stacks)


@dataclass(frozen=True, repr=False)
class Finding:
    """One fault of the program. Its `handles` share one opening line and one spawn line, unless it has `parts`.

    A detector fills in the upper half of the fields; the watch fills in `id`, `time` and the fields below them.
    """

    rule: str
    severity: str
    database: Database
    handles: tuple[Handle, ...]
    count: int
    phrase: str = ""  # template of the message, with %-placeholders for `numbers`
    numbers: tuple[object, ...] = ()
    site: Site | None = None
    spawn: Spawn | None = None
    parts: tuple[Part, ...] = ()
    why: tuple[str, ...] = ()  # further facts for the reader, a sentence each
    advice: tuple[str, ...] = ()  # what to do, a line each
    also: Also | None = None  # a second line that belongs to the finding
    stacks: tuple[tuple[str, Origin], ...] = ()  # stacks of the owners involved, each with its caption
    doing: tuple[tuple[Handle, Origin], ...] | Doing = ()  # the live stacks of the holders, added by the watch
    states: tuple[tuple[Handle, str], ...] = ()  # of its handles at an earlier instant, if that is what it is about
    error: str = ""  # the program's own exception, redacted
    adds_up: bool = True  # merging adds the counts of repeats; if False, it keeps the highest
    times: int = 0  # how often it happened, if that is counted: refused requests, failed statements
    opener: Opener | None = None  # the trace in which it happened, if not that of its handles
    names: tuple[str, ...] = ()  # names of the owners involved, if they are not the owners of its handles
    verdict: str = ""  # of `waiting-too-long`: `leaked`, `too small` or `deadlock`
    waiting: tuple[Asking, ...] = ()  # of `waiting-too-long`: who waits
    held: tuple[Handle, ...] = ()  # of `second-while-holding`: what its owners held when they asked for `handles`
    # --- by the watch
    id: str = ""
    time: float = 0.0  # seconds since the epoch
    now: float = 0.0  # seconds of the ledger's clock at that moment
    since: int = 0  # growth of the count since the last report
    matter: str = ""  # the `id` of the first finding that named its handles: all of them are one matter
    aloud: bool = True  # False: a repeat for the records only, because the report was printed not long ago
    scope: str = ""  # the name of the test, request or job that ended
    unkept: int = 0  # handles that are in its count, but of which no object was kept
    more_owners: bool = False  # whether those may have had other owners than `handles`

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
        """A finding about the handles of one part, with its lines, its count and the database of its first handle."""
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

    def changed(self, **fields: Any) -> Finding:
        """The finding with other values of `fields`. `dataclasses.replace` takes ten times as long, 20 µs."""
        finding = object.__new__(type(self))
        vars(finding).update(vars(self), **fields)
        return finding

    def __str__(self) -> str:
        """The report, as it is printed."""
        return as_report(self)

    def __repr__(self) -> str:
        """The first line of the report: a failed `assert not watch.findings` shows it."""
        return f"<{as_message(self)}>"

    @property
    def kind(self) -> str:
        """The kind of its handles: `connection`, `checkout` or `cursor`; `connection` if it has none."""
        return self.handles[0].kind if self.handles else "connection"

    @property
    def key(self) -> tuple[object, ...]:
        """Findings of two looks with equal keys are the same finding.

        The key holds the rule, the lines, the scope and the verdict, and the database if the rule is about one.
        """
        database = self.database.text if rule_of(self.rule).of_one_database else ""
        also = self.also.site if self.also else None
        return (self.rule, database, self.site, self.spawned, self.scope, also, self.verdict)

    @property
    def looked_at(self) -> dict[Handle, Origin]:
        """The holders that were looked at, and where they were: an empty stack if it could not be read."""
        return dict(self.doing.looked_at() if isinstance(self.doing, Doing) else self.doing)

    @property
    def in_order(self) -> tuple[Handle, ...]:
        """The handles of the largest part; all handles of a finding without parts."""
        return self.parts[0].handles if self.parts else self.handles

    @property
    def span_context(self) -> Any:
        """The OpenTelemetry SpanContext in which it happened, else that of its first handle with a trace, else None."""
        for opener in (self.opener, *map(opener_of, self.in_order)):
            if opener is not None and opener[0] is not None:
                return opener[0]
        return None

    @property
    def spans(self) -> tuple[str, str]:
        """The trace id and the span id of `span_context` in hexadecimal; two empty strings if there is none."""
        context = self.span_context
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context is not None else ("", "")

    @property
    def spawned(self) -> Site | None:
        """The line that started the owners, or None."""
        return self.spawn.site if self.spawn else None

    @property
    def opened(self) -> Frame | None:
        """The opening line as a readable frame, or None if it is not known."""
        return self.site.frame if self.site else None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are the same in every run: a hash without line numbers or pids.

        It covers the rule, the opening function, the spawning function and the database system.
        """
        opened = self.site.frame.function if self.site else ""
        spawned = self.spawned.frame.function if self.spawned else ""
        text = f"{self.rule}\n{opened}\n{spawned}\n{self.database.system}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def lines(self) -> tuple[Frame | None, ...]:
        """The opening line and the spawn line, against which ignore rules are matched; None for an unknown line."""
        return (self.opened, self.spawned.frame if self.spawned else None)

    def _repr_html_(self) -> str:
        """The finding in a notebook: its lines, count, database, owners, and what to do."""
        from whoholds.text.markup import card, paragraphs, table

        names = zip(("opened at", "spawned at"), self.lines, strict=True)
        rows = [(name, f"{line.place} in {line.function}\n{line.source}") for name, line in names if line is not None]
        owners = self.names or owner_names(self.handles)
        rows += [("database", self.database.text), ("by", ", ".join(owners[:10])), ("error", redact(self.error))]
        said = table((), [row for row in rows if row[1]])
        title = f"{self.rule} ({self.severity}): {self.count} {self.kind}{'s' * (self.count != 1)}"
        return card(title, said, paragraphs(map(redact, (*self.why, *self.advice))), severity=self.severity)


def _named(finding: Finding) -> str:
    return f"{finding.rule}: {finding.count}"


# `reporting`, which knows the words, puts its own functions here: `first_line.message` and `report.text`.
as_message: Callable[[Finding], str] = _named
as_report: Callable[[Finding], str] = _named


class Aside(NamedTuple):
    """A part of whoholds (a driver, output, predicate, detector or look) that failed and stands aside, and why."""

    slug: str  # names its section in docs/settings.md
    reason: str


@dataclass(frozen=True)
class Look:
    """The result of one tick, for outputs: the findings to report, the handles that ended, and the snapshot."""

    findings: tuple[Finding, ...]
    snapshot: Snapshot
    source: bool = True  # whether source lines may be shown
    all: tuple[Finding, ...] = ()  # in the last look: all findings of the watch, merged
    remarks: tuple[str, ...] = ()  # in the last look: what was dropped or unwatched, and ignore rules without effect
    found: tuple[Finding, ...] = ()  # all findings of this look that are not ignored, also the repeats held back
    asides: tuple[Aside, ...] = ()  # the parts that began to stand aside since the previous look
    # in the last look, by severity: matters that are not in `all`
    left_out: Counter[str] = field(default_factory=Counter)
    cost: Cost = NOTHING_YET  # of the watch so far; the CPU time is that of the looks before this one

    @property
    def ended(self) -> list[Handle]:
        """The handles that were closed or freed since the previous look."""
        return self.snapshot.ended

    @property
    def last(self) -> bool:
        """True if the process or the watch ends with this look."""
        return self.snapshot.ending is not None and self.snapshot.ending.kind in ("process", "watch")
