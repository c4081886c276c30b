"""Runs a small program in a process of its own, as its user would: by environment variable alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whoholds.reporting.reading import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOREIGN = ("WHOHOLDS", "_WHOHOLDS", "OTEL_", "DD_", "COV_", "COVERAGE_", "PYTHON", "PYTEST_")


@dataclass
class Ran:
    """What came of it."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        """All that its processes wrote, each in its own journal."""
        journals = sorted(self.folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        return [record for path in journals for record in Journal(path)]

    @property
    def findings(self) -> list[tuple[str, str, int]]:
        """Rule, severity and count of the last word of each finding above info."""
        latest = {(one["pid"], one["id"]): one for one in self.of("finding") if one["severity"] != "info"}
        return sorted((one["rule"], one["severity"], one["count"]) for one in latest.values())

    def of(self, kind: str, rule: str = "") -> list[dict[str, Any]]:
        """The records of one type, and of one rule where that is asked."""
        return [one for one in self.records if one["type"] == kind and rule in ("", one.get("rule"))]

    @property
    def clean(self) -> bool:
        """Whether it ended well and nobody said a word on stderr."""
        return (self.code, self.err, self.findings) == (0, "", [])


class Programs:
    """A folder with a program in it, and what it is run with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = sys.executable

    def write(self, source: str, name: str = "app.py") -> Path:
        """Put the program there."""
        path = self.folder / name
        path.write_text(textwrap.dedent(source))
        return path

    def environ(self, **settings: object) -> dict[str, str]:
        """Give an environment with `WHOHOLDS` 1 and a journal for each process, and these on top; None takes one out."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        settings = {"WHOHOLDS": "1", "WHOHOLDS_JOURNAL": self.folder / "{pid}.jsonl", **settings}
        return environ | {name: str(value) for name, value in settings.items() if value is not None}

    def start(
        self, source: str, *arguments: str, options: Sequence[str] = (), **settings: object
    ) -> subprocess.Popen[str]:
        """Give the program's process, running."""
        return self.command([self.python, *options, str(self.write(source)), *arguments], **settings)

    def command(self, command: Sequence[str], **settings: object) -> subprocess.Popen[str]:
        """Give any command's process, running in the folder."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environ(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ends(self, process: subprocess.Popen[str], *, within: float = 30) -> Ran:
        """Wait for it; one that hangs is ended, and that fails the test."""
        try:
            out, err = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)  # its children too: they hold its pipes
            process.kill()
            process.communicate()
            raise
        return Ran(process.returncode, out, err, self.folder)

    def run(self, source: str, *arguments: str, within: float = 30, **settings: Any) -> Ran:
        """Run the program to its end."""
        return self.ends(self.start(source, *arguments, **settings), within=within)

    def whoholds(self, *arguments: str, within: float = 30, **settings: object) -> Ran:
        """Run our command, by default with no environment of ours."""
        settings = {"WHOHOLDS": None, "WHOHOLDS_JOURNAL": None, **settings}
        command = [self.python, "-m", "whoholds", *arguments]
        return self.ends(self.command(command, **settings), within=within)
