"""A whoholds output that posts each finding above info to a URL, as the JSON object that the journal has for it.

    WHOHOLDS=log,webhook WEBHOOK_URL=https://hooks.example.org/alerts python app.py

An output is called by the thread that ticks, never by the program's threads, so it may block for a moment. When the
receiver does not answer, the finding is counted as dropped and the program's end says so.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import TYPE_CHECKING

from whoholds.plugins import INFO
from whoholds.reporting.records import finding_record

if TYPE_CHECKING:
    from whoholds import Limits
    from whoholds.plugins import Look

TIMEOUT_S = 2.0


class Webhook:
    """Made once for the process; called with every look."""

    name = "webhook"

    def __init__(self, limits: Limits) -> None:
        self.dropped = 0
        self._source = limits.source
        self._url = os.environ["WEBHOOK_URL"]  # without it the output is switched off, and that is said

    def __call__(self, look: Look) -> None:
        """Post what is said at this look."""
        for finding in look.findings:
            if finding.severity != INFO:
                self._post(json.dumps(finding_record(finding, source=self._source)).encode())

    def _post(self, body: bytes) -> None:
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except OSError:  # nobody listens, or not in time
            self.dropped += 1
