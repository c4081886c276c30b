"""`%load_ext whoholds`: below a cell that begins with `%%whoholds`, a picture shows what the cell opened.

The cell runs as without that line. Nothing is watched before the first such cell, unless the kernel was started with
WHOHOLDS. Tried with IPython 8 and 9.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from dataclasses import replace
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds import startup
from whoholds.analysis.connected import Connections
from whoholds.analysis.history import Peak
from whoholds.analysis.peaks import most_at_once
from whoholds.ledger.handle import CONNECTION
from whoholds.picture.gathering import Gathered
from whoholds.picture.page import page
from whoholds.reporting.reading import Journal
from whoholds.reporting.records import peak_record
from whoholds.reporting.summary import headline
from whoholds.testing.run_journal import RunJournal
from whoholds.watching.running import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.analysis.finding import Look
    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle
    from whoholds.watching.watch import Watch

MAGIC = "%%whoholds"
HEIGHT = 620  # pixels of the picture below a cell


def load(shell: Any) -> None:
    """Register the magic with `shell`, IPython's InteractiveShell. A second call does nothing."""
    if without_magic in shell.input_transformers_cleanup:
        return
    running: list[Recorder] = []

    def before(info: Any) -> None:
        if _asks(info.raw_cell.lstrip().split("\n", 1)[0]):
            running.append(Recorder(current() or startup.start(outputs=())))

    def after(result: Any) -> None:
        del result
        if running:
            running.pop().show()

    # Not run_cell in a magic: the cell keeps its line numbers, its exceptions and its right to await.
    shell.input_transformers_cleanup.append(without_magic)
    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)


def without_magic(lines: list[str]) -> list[str]:
    """The lines of a cell, the first one empty if it is the magic. Raises SyntaxError if more stands on that line."""
    if not lines or not _asks(lines[0]):
        return lines
    if lines[0].strip() != MAGIC:
        raise SyntaxError(f"{MAGIC} takes nothing on its line, got {lines[0].strip()[:100]}")
    return ["\n", *lines[1:]]


def _asks(line: str) -> bool:
    return line.split()[:1] == [MAGIC]


class Recorder:
    """Keeps what is opened from now on, until `show` draws it below the cell."""

    def __init__(self, watch: Watch) -> None:
        watch.tick()
        self._watch = watch
        self._since = watch.ledger.stamps
        self._handles: dict[Database, dict[Handle, None]] = defaultdict(dict)
        self._ids: dict[tuple[object, ...], str] = {}  # of the findings, by their keys
        self._folder = tempfile.mkdtemp(prefix="whoholds-")
        self._journal = RunJournal(watch, self._folder, self._chosen)

    def _chosen(self, look: Look) -> Look:
        """Of a look what was opened since the cell began, and all that was found, though it was said before."""
        snapshot = look.snapshot
        findings = tuple(
            replace(
                finding,
                id=self._ids.setdefault(finding.key, f"cell-{len(self._ids)}"),
                time=snapshot.wall,
                now=snapshot.now,
            )
            for finding in look.found
        )
        kept = replace(
            snapshot,
            open=self._of_the_cell(snapshot.open),
            ended=self._of_the_cell(snapshot.ended),
            history=replace(
                snapshot.history, trends={}, connected=Connections()
            ),  # they may have peaks of earlier cells
        )
        for handle in (*kept.open, *kept.ended):
            if handle.kind == CONNECTION:
                self._handles[handle.database][handle] = None
        return replace(look, findings=findings, snapshot=kept)

    def _of_the_cell(self, handles: Iterable[Handle]) -> list[Handle]:
        return [handle for handle in handles if handle.opened_stamp >= self._since]

    def show(self) -> None:
        """Draw what was opened since the beginning; what is open now is open at the end."""
        self._journal.leave()
        try:
            self._journal.write(self._peaks())
            told = Gathered([Journal(path) for path in sorted(Path(self._folder).glob("*.jsonl"))])
            display: Any = import_module("IPython.display").display
            left = sum(handle.open for handles in self._handles.values() for handle in handles)
            display(bundle(told, left), raw=True)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _peaks(self) -> list[dict[str, Any]]:
        snapshot = self._watch.snapshot
        if snapshot is None:
            return []
        peaks = {
            database: Peak(len(most_at_once(handles)), snapshot.now) for database, handles in self._handles.items()
        }
        return [peak_record(peak, database, snapshot) for database, peak in peaks.items()]


def bundle(told: Gathered, left: int = 0) -> dict[str, str]:
    """The picture by MIME types, as IPython's `display` takes it: HTML in a frame of its own, and a line of text.

    `left` is the number of connections that are still open.
    """
    text = headline(told.run) + (f"; {left} still open" if left else "")
    if not told.run.connections:
        return {"text/plain": "whoholds: this cell opened no connection"}
    html = escape(page(told.as_data("This cell")).decode())
    frame = f'width="100%" height="{HEIGHT}" style="border:1px solid #8884;border-radius:8px" title="{escape(text)}"'
    return {
        "text/html": f'<iframe srcdoc="{html}" sandbox="allow-scripts allow-modals" {frame}></iframe>',
        "text/plain": text,
    }
