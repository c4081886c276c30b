"""The `otel` output: handles as spans, findings as log records, and metrics, by OpenTelemetry's semantic conventions.

It must never configure an SDK. Until the program has configured one it does nothing but read three names at each look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from whoholds.outputs.otel import sdk
from whoholds.outputs.otel.named import Reported, note_of
from whoholds.outputs.otel.statements import Statements
from whoholds.reporting.first_line import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.analysis.finding import Look
    from whoholds.ledger.ledger import Ledger
    from whoholds.outputs.otel.logs import Records
    from whoholds.outputs.otel.spans import Spans
    from whoholds.settings.limits import Limits


class OtelOutput:
    """Hands looks to the SDK. Handles that ended before the program configured an SDK are not reported.

    Nothing is kept for an SDK that may never be configured.
    """

    name = "otel"

    def __init__(self, limits: Limits, *, provider: Callable[[str], Any] = sdk.provider) -> None:
        self._limits = limits
        self._provider = provider  # returns the provider of "traces", "logs" or "metrics", or None if none is set
        # called after each statement in the user's thread, from `begin` on
        self.statements = Statements(provider) if limits.spans == "queries" else None
        self._renew()
        sdk.watch_exit()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._reported = Reported()
        self._spans: Spans | None = None
        self._records: Records | None = None

    def begin(self, ledger: Ledger) -> None:
        """Hook the spans of statements into the ledger, if they are wanted. Called once, before a driver is entered."""
        if self.statements is not None:
            ledger.on_statement = self.statements.statement
            ledger.on_connect_failed = self.statements.failed_connect

    @property
    def silent(self) -> bool:
        """True if the program has configured neither logs nor traces, so that findings would reach nobody."""
        return self._provider("logs") is None and self._provider("traces") is None

    def __call__(self, look: Look) -> None:
        """Hand this look to the SDK. The ticking thread calls this; exporters work in their own threads."""
        if self._pid != os.getpid():
            self._renew()
        self._log(look)
        self._trace(look)
        self._measure(look)
        if look.last:
            self._end(look)

    def _end(self, look: Look) -> None:
        if self.statements is not None:
            self.statements.active = False
        if look.snapshot.ending is not None and look.snapshot.ending.kind == "process":
            sdk.flush()

    def _log(self, look: Look) -> None:
        provider = self._provider("logs")
        if provider is not None and (self._records is None or self._records.provider is not provider):
            from whoholds.outputs.otel.logs import Records

            self._records = Records(provider)
        for finding in look.findings:
            if provider is not None and self._records is not None:
                self._records.emit(finding, source=look.source)
            self._reported.take(finding, note_of(finding, message(finding)) if provider is None else None)

    def _trace(self, look: Look) -> None:
        provider = self._provider("traces")
        if provider is None or self._limits.spans == "off":
            return
        snapshot = look.snapshot
        if self._spans is None or self._spans.provider is not provider:
            from whoholds.outputs.otel.spans import Spans

            if self._spans is not None:
                self._spans.finish(snapshot)
            self._spans = Spans(provider, recorder=self._limits.spans == "connections")
        self._spans.follow(snapshot)
        for handle in (*snapshot.ended, *snapshot.open) if look.last else snapshot.ended:
            self._spans.held(handle, snapshot, self._reported, source=look.source)
        if look.last:
            self._spans.finish(snapshot)

    def _measure(self, look: Look) -> None:
        provider = self._provider("metrics")
        if provider is not None:
            from whoholds.outputs.otel import metrics

            metrics.of(provider).see(look, self._limits.server_limit)
