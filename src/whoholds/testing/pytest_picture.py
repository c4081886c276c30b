"""The picture of a pytest run: what its tests opened, with the verdicts as findings, drawn at the end of the run.

Each process writes a journal of its own into a temporary folder; the process that ends last draws them all. This module
must not judge: the findings are those of the verdicts, and no test passes or fails because of the picture.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.picture.page import PICTURE
from whoholds.reporting.files import expanded, try_to_write
from whoholds.testing.policy import WrongPolicy
from whoholds.testing.run_journal import RunJournal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from whoholds.analysis.finding import Finding
    from whoholds.watching.watch import Watch

FOLDER = "whoholds_picture"  # in the input of a worker of pytest-xdist: the folder of the journals


def picture_path(config: pytest.Config) -> Path | None:
    """The path of the picture from the command line, otherwise from the ini file, otherwise None.

    Raises `WrongPolicy` if it cannot be written.
    """
    given = config.getoption("whoholds_html")
    from_ini = config.getini("whoholds_html")
    if given is None and not from_ini:
        return None
    if given == "":
        raise WrongPolicy("--whoholds-html takes the path of a file, got nothing")
    path = expanded(given) if given else config.rootpath / expanded(from_ini)
    try:
        try_to_write(path, PICTURE)
    except OSError as error:
        name = "--whoholds-html" if given else "whoholds_html"
        takes = f"takes the path of a file that can be written, got {given or from_ini}"
        raise WrongPolicy(f"{name} {takes} ({error.strerror or error})") from None
    return path


class Picture:
    """Keeps what a run opens, and draws it to `path`."""

    def __init__(self, path: Path, folder: str | None = None) -> None:
        """`folder` has the journals; None in the process that makes it, and draws."""
        self.path = path
        self._draws = folder is None
        self.folder = tempfile.mkdtemp(prefix="whoholds-") if folder is None else folder
        self._journal: RunJournal | None = None  # None in a controller, which runs no tests
        self._told = 0  # findings of this process

    def attend(self, watch: Watch) -> None:
        """Keep what `watch` sees from now on, but not its findings, on which the verdicts decide."""
        self._journal = RunJournal(watch, self.folder, lambda look: replace(look, findings=()))

    def add(self, findings: Iterable[dict[str, Any]]) -> None:
        """Add the records of the findings of a verdict."""
        records = []
        for finding in findings:
            self._told += 1
            records.append({**finding, "id": f"verdict-{self._told}"})
        if self._journal is not None:
            self._journal.write(records)

    def link(self, finding: Finding) -> str:
        """The address of the finding's first bar, or of the picture if the finding has no handle."""
        address = self.path.as_uri()
        return f"{address}#handle-{os.getpid()}-{finding.handles[0].opened_stamp}" if finding.handles else address

    def leave(self) -> None:
        """Keep what is open now, and nothing after it. A second call does nothing."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.leave()

    def draw(self, title: str) -> None:
        """Draw the run, if this is the process that draws. Raises OSError."""
        if not self._draws:
            return
        from whoholds.picture.page import write_page
        from whoholds.reporting.reading import Journal

        try:
            journals = [Journal(path) for path in sorted(Path(self.folder).glob("*.jsonl"))]
            write_page(self.path, journals, title, table="scopes")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
