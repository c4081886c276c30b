"""Findings as log records of OpenTelemetry's logs API, in the trace in which the finding's first handle was opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.outputs.otel import describe, names
from whoholds.reporting.records import finding_record
from whoholds.version import VERSION

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding

# Fields of the journal that become attributes under their own names; the conventions have names for the others.
_FIELDS = ("id", "fingerprint", "count", "owners", "held_s", "idle_s", "scope", "error", "backend_pid")


class Records:
    """Emits log records through one logger provider."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.context import Context

        self.provider = provider
        self._trace = trace
        self._empty = Context
        takes = LogRecord.__init__.__code__.co_varnames
        self._record = LogRecord if "event_name" in takes and "context" in takes else _before_1_35(provider)
        self._levels = {
            "info": SeverityNumber.INFO,
            "warning": SeverityNumber.WARN,
            "error": SeverityNumber.ERROR,
        }
        self._logger = provider.get_logger(names.SCOPE, VERSION, names.SCHEMA)

    def emit(self, finding: Finding, *, source: bool) -> None:
        """Emit one log record: the message as its body, the whole report and the journal's fields as attributes."""
        opener = finding.span_context
        span = self._trace.INVALID_SPAN if opener is None else self._trace.NonRecordingSpan(opener)
        record = finding_record(finding, source=source)
        self._logger.emit(
            self._record(
                timestamp=int(finding.time * 1e9),
                observed_timestamp=int(finding.time * 1e9),
                context=self._trace.set_span_in_context(span, self._empty()),
                severity_text=finding.severity.upper(),
                severity_number=self._levels[finding.severity],
                body=record["message"],
                event_name=f"whoholds.{finding.rule}",
                attributes=_attributes(finding, record, source=source),
            )
        )


def _before_1_35(provider: Any) -> Any:
    """A function that makes log records for SDKs before 1.35, which accept only their own class and no event names."""
    from opentelemetry import trace
    from opentelemetry.sdk import _logs

    def record(*, context: Any, event_name: str, attributes: dict[str, Any], **given: Any) -> Any:
        span = trace.get_current_span(context).get_span_context()
        return _logs.LogRecord(  # type: ignore[attr-defined,unused-ignore]  # newer versions have none
            **given,
            trace_id=span.trace_id,
            span_id=span.span_id,
            trace_flags=span.trace_flags,
            attributes={**attributes, "event.name": event_name},
            resource=getattr(provider, "resource", None) or getattr(provider, "_resource", None),
        )

    return record


def _attributes(finding: Finding, record: dict[str, Any], *, source: bool) -> dict[str, Any]:
    first = finding.in_order[0] if finding.handles else None
    attributes = {
        **describe.of_database(finding.database),
        **describe.of_lines(finding.site, finding.spawned),
        names.RULE: finding.rule,
        names.SEVERITY: finding.severity,
        names.HANDLE_KIND: finding.kind,
        "whoholds.report": record["report"],
    }
    if first is not None and first.origin:
        attributes[names.STACK] = describe.stack(first.origin, source=source)
    for name in _FIELDS:
        if record.get(name):
            attributes[f"whoholds.{name}"] = record[name]
    return attributes
