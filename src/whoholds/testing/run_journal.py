"""RunJournal: the journal of a stretch of a watched process, such as a suite or a notebook's cell, for its picture."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.analysis.finding import Look
from whoholds.analysis.snapshot import Ending
from whoholds.assembling import output
from whoholds.reporting.journal import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.watching.watch import Watch


class RunJournal:
    """An output of `watch` that writes `<folder>/<pid>.jsonl`, until `leave`.

    `choose` returns of each look what is to be written.
    """

    name = "picture"

    def __init__(self, watch: Watch, folder: str, choose: Callable[[Look], Look]) -> None:
        self._watch = watch
        self._folder = folder
        self._choose = choose
        path = os.path.join(folder, "{pid}.jsonl")
        self._journal = output("journal", watch.limits.with_settings(journal=path))
        watch.outputs.append(self)

    def __call__(self, look: Look) -> None:
        """Write a look. Called by the thread that ticks."""
        self._journal(self._choose(look))

    def write(self, records: list[dict[str, Any]]) -> None:
        """Write these records, too."""
        Writer(Path(self._folder, f"{os.getpid()}.jsonl"), float("inf")).write(records)

    def leave(self) -> None:
        """Write what is open now, as at the end of a process, and then nothing more."""
        self._watch.tick()
        if self in self._watch.outputs:
            self._watch.outputs.remove(self)
        snapshot = self._watch.snapshot
        if snapshot is not None:
            last = replace(snapshot, ending=Ending("watch"), ended=[], refusals=[])
            self(Look((), last, self._watch.limits.source))
