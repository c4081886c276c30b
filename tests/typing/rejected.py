"""Usage that mypy must refuse, strictly: each line has the error that mypy reports, and an unused `ignore` is an error. Never run."""

from __future__ import annotations

import whoholds
from whoholds.testing import marker

whoholds.start(helt_too_long=3)  # type: ignore[call-arg]
whoholds.start(too_many=None)  # type: ignore[arg-type]
whoholds.start(log="lines")  # type: ignore[arg-type]
whoholds.start(frames=2.5)  # type: ignore[arg-type]
with whoholds.watch(spans="query"):  # type: ignore[arg-type]
    whoholds.Limits().with_settings(source=2.5)  # type: ignore[arg-type]
marker(max_opn=3)  # type: ignore[call-arg]
marker(max_open="three")  # type: ignore[arg-type]
marker("errors")  # type: ignore[arg-type]
marker(left_open="warn")  # type: ignore[arg-type]
