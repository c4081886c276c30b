"""Spans of handles. The span of a handle is made after the handle has ended, with its true start and end.

No span of a handle may be kept open: a span that is open as long as its connection would be a leak itself. Only the
span of the process stays open until its last child is known, because it covers them all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from whoholds.ledger.handle import CONNECTION, CURSOR
from whoholds.ledger.opener import follow, opener_of, runs
from whoholds.outputs.otel import describe, names
from whoholds.text.redact import shown_name
from whoholds.text.sql import sanitise, summary
from whoholds.version import VERSION

if TYPE_CHECKING:
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.ledger.handle import Handle
    from whoholds.ledger.opener import Opener
    from whoholds.outputs.otel.named import Reported

ROOT_CHILDREN = 1000  # handles opened outside any trace that share one span of the process; then a new one begins,
ROOT_S = 300.0  # also after so many seconds, because a back end shows the parent only after its end
MOMENT_S = 1.0  # seconds after the parent's end in which a hold may end: servers close sessions after the response
_NS = 1_000_000_000


class Spans:
    """Makes the spans of one tracer provider.

    With `recorder`, a handle that a finding named also gets spans for its last statements, which have none otherwise.
    """

    def __init__(self, provider: Any, *, recorder: bool) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        self.provider = provider
        self._trace = trace
        self._empty = Context
        self._recorder = recorder
        self._tracer = provider.get_tracer(names.SCOPE, VERSION, schema_url=names.SCHEMA)
        self._root: Any = None  # the span of the process, still open
        self._root_since = 0.0
        self._root_left = 0
        self._root_end = 0  # nanoseconds since the epoch: when the last of its children ended

    def follow(self, snapshot: Snapshot) -> None:
        """Note for each open handle whether the span in which it was opened has ended. Call it once per look."""
        for handle in snapshot.open:
            follow(handle, snapshot.now)

    def finish(self, snapshot: Snapshot) -> None:
        """End the span of the process, if there is one: it gets no more children."""
        if self._root is not None:
            self._root.end(max(self._root_end, _ns(snapshot.wall)))
            self._root = None

    def held(self, handle: Handle, snapshot: Snapshot, reported: Reported, *, source: bool) -> None:
        """Make the span of one handle, up to its end or, while it is open, up to this look.

        No span is made if the handle's trace is not sampled. With `source`, stacks have source lines.
        """
        opener = opener_of(handle)
        parent: Any = None
        links: tuple[Any, ...] = ()
        if opener is not None:
            context = opener[0]
            if context is None or not context.trace_flags.sampled:  # suppressed, or a trace that is not kept
                return
            if _is_part(handle, opener, snapshot):
                parent = context
            else:
                links = (self._trace.Link(context),)
        ended = _ns(snapshot.wall_time(_until(handle, snapshot)))
        if parent is None:
            parent = self._root_for(handle, snapshot)
            if not parent.trace_flags.sampled:
                return
            self._root_end = max(self._root_end, ended)
        severity, rules = reported.of(handle)
        database = describe.of_database(handle.database)
        namespace = handle.database.name or handle.database.host
        span = self._tracer.start_span(
            f"{_verb(handle)} {handle.database.system} {namespace}".rstrip(),
            self._below(parent),
            self._trace.SpanKind.CLIENT,
            {**database, **self._attributes(handle, snapshot, source=source), **_rules(rules)},
            links,
            _ns(snapshot.wall_time(handle.opened_at)),
        )
        for name, at, attributes in reported.notes(handle):
            span.add_event(name, attributes, at)
        if severity == "error":
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, rules[0]))
        if rules and self._recorder:
            self._recorded(handle, snapshot, span.get_span_context(), database)
        span.end(ended)

    def _attributes(self, handle: Handle, snapshot: Snapshot, *, source: bool) -> dict[str, Any]:
        spawn = handle.owner.spawn if handle.owner else None
        attributes = {
            **describe.of_lines(handle.site, spawn.site if spawn else None),
            **describe.of_owner(handle.owner),
            names.HANDLE_KIND: handle.kind,
            names.HANDLE_END: handle.how or "open",
            names.HELD: round(handle.held_s(snapshot.now), 6),
        }
        if handle.seen:
            attributes |= {
                names.USES: handle.uses,
                names.BUSY: round(handle.busy_s, 6),
                names.IDLE: round(handle.idle_s(snapshot.now), 6),
            }
        if handle.origin:
            attributes[names.STACK] = describe.stack(handle.origin, source=source)
        if handle.pool is not None:
            attributes[names.POOL_NAME] = shown_name(handle.pool.name)
        if handle.backend_pid is not None:
            attributes[names.BACKEND_PID] = handle.backend_pid
        return attributes

    def _recorded(self, handle: Handle, snapshot: Snapshot, context: Any, database: dict[str, Any]) -> None:
        """Make spans for the last few statements, below the span (`context`) of a handle that a finding named."""
        system = handle.database.system
        below = self._below(context)
        for sql, began, seconds in handle.statements:
            attributes = dict(database)
            name = summary(sql, system=system)
            if name:
                attributes[names.QUERY_SUMMARY] = name
            text = sanitise(sql, system=system)
            if text:
                attributes[names.QUERY_TEXT] = text
            start = snapshot.wall_time(began)
            span = self._tracer.start_span(
                name or handle.database.name or system,
                below,
                self._trace.SpanKind.CLIENT,
                attributes,
                (),
                _ns(start),
            )
            span.end(_ns(start + seconds))

    def _root_for(self, handle: Handle, snapshot: Snapshot) -> Any:
        """The context of the process's span. The span starts with the oldest handle that may become its child."""
        if self._root is None or not self._root_left or snapshot.now - self._root_since > ROOT_S:
            self.finish(snapshot)
            oldest = min((one.opened_at for one in (*snapshot.ended, *snapshot.open)), default=handle.opened_at)
            began = _ns(snapshot.wall_time(min(oldest, handle.opened_at)))
            self._root_since, self._root_left, self._root_end = snapshot.now, ROOT_CHILDREN, 0
            self._root = self._tracer.start_span(f"process {_program()}", self._empty(), start_time=began)
        self._root_left -= 1
        return self._root.get_span_context()

    def _below(self, parent: Any) -> Any:
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent), self._empty())


def _until(handle: Handle, snapshot: Snapshot) -> float:
    """The time at which the handle was closed, by the ledger's clock; the time of the look while it is open."""
    return snapshot.now if handle.closed_at is None else handle.closed_at


def _is_part(handle: Handle, opener: Opener, snapshot: Snapshot) -> bool:
    """True if the handle's span is a child of the span in which it was opened.

    That is so if the opener's span still ran when the handle ended, had ended less than `MOMENT_S` before, or lasted
    for more than half of the handle's time.
    """
    if runs(opener):
        return True
    until = _until(handle, snapshot)
    after = until - (opener[2] if len(opener) > 2 else until)  # noqa: PLR2004 - known when it ended
    return after < MOMENT_S or 2 * after < until - handle.opened_at


def _verb(handle: Handle) -> str:
    """The first word of the span's name: `cursor`, `pool` for a pool's own connection, else `hold`.

    So a connection of a pool and its loan do not both count as holds.
    """
    if handle.kind == CURSOR:
        return "cursor"
    return "pool" if handle.kind == CONNECTION and handle.pool is not None else "hold"


def _rules(rules: tuple[str, ...]) -> dict[str, Any]:
    if not rules:
        return {}
    return {names.RULE: rules[0], names.RULES: rules} if len(rules) > 1 else {names.RULE: rules[0]}


def _program() -> str:
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    return program.replace("\\", "/").rpartition("/")[2] or "python"


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
