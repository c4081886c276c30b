"""Runs one application for real on loopback, and tells what whoholds said while it ran and at its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.programs import FOREIGN
from whoholds.reporting.reading import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAMS = Path(__file__).parent / "programs"
START_S = 90.0  # a busy two-core machine has taken 30 s to import FastAPI
END_S = 60.0
PRINTED = re.compile(r"\bwhoholds: (?!no finding)")


@dataclass(frozen=True, order=True)
class Said:
    """One finding above *info*: its rule, severity and opening line as `file:line function`."""

    rule: str
    severity: str
    opened: str

    def __str__(self) -> str:
        return f"{self.rule} {self.severity} {self.opened}"


@dataclass
class Outcome:
    """What came of a run: all that the processes printed, and what whoholds said, by when it was said."""

    output: str
    running: list[Said]
    ending: list[Said]
    codes: list[int]
    connections: int  # that whoholds saw, in all processes

    @property
    def said(self) -> set[Said]:
        """Each finding, whenever it was said."""
        return {*self.running, *self.ending}

    @property
    def printed(self) -> bool:
        """Whether whoholds printed anything at all."""
        return bool(PRINTED.search(self.output))


@dataclass
class Place:
    """A folder of one run: the application's files, its journals and its output; and what it is run with."""

    folder: Path
    python: Path
    quiet_s: float
    settings: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        """Choose a port that is free now."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def file(self, name: str) -> Path:
        """Put one of the programs there."""
        return Path(shutil.copy(PROGRAMS / name, self.folder / name))

    def start(self, *arguments: object, **settings: object) -> subprocess.Popen[bytes]:
        """Give a process of the environment's Python with `WHOHOLDS=1`, a journal for each process and the defaults."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        environ |= {"WHOHOLDS": "1", "WHOHOLDS_JOURNAL": f"{self.folder}/{{pid}}.jsonl", "PORT": str(self.port)}
        environ |= {"PATH": f"{self.python.parent}{os.pathsep}{environ['PATH']}"}
        environ |= self.settings | {name: str(value) for name, value in settings.items()}
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [str(self.python), *map(str, arguments)],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, *arguments: object, within: float = END_S, **settings: object) -> None:
        """Run one to its end, which has to be a good one."""
        process = self.start(*arguments, **settings)
        if code := process.wait(within):
            raise RuntimeError(f"{process.args} ended with {code}; the output:\n{self.output()}")

    def get(self, path: str) -> bytes:
        """Give the answer of the server; one that is not up yet is waited for."""
        last = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=END_S) as answer:  # noqa: S310
                    return answer.read()  # type: ignore[no-any-return]
            except (ConnectionError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > last or self._over():
                    raise RuntimeError(f"{path}: {error}; the server said:\n{self.output()}") from error
                time.sleep(0.2)

    def requests(self, paths: Iterable[str], clients: int = 3) -> None:
        """Ask for the paths, so many at a time."""
        with ThreadPoolExecutor(clients) as executor:
            list(executor.map(self.get, paths))

    def appears(self, text: str, times: int = 1) -> None:
        """Wait until the output has that text so many times."""
        last = time.monotonic() + START_S
        while self.output().count(text) < times:
            if time.monotonic() > last or self._over():
                raise RuntimeError(f"{text!r} never came {times} times; the output:\n{self.output()}")
            time.sleep(0.2)

    def quiet(self) -> None:
        """Let the application be for the time that was asked for."""
        time.sleep(self.quiet_s)

    def output(self) -> str:
        """Give all that was printed so far."""
        path = self.folder / "output"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def stop(self, number: int = signal.SIGTERM) -> Outcome:
        """Send the signal to what still runs, wait for its end, and tell what was said before and after."""
        when = time.time()
        for process in self.started:
            if process.poll() is None:
                process.send_signal(number)
        codes = [process.wait(END_S) for process in self.started]
        before: list[Said] = []
        after: list[Said] = []
        connections = 0
        for path in self.folder.glob("*.jsonl"):
            for record in Journal(path):
                connections += record["type"] == "handle" and record["kind"] == "connection"
                if record["type"] == "finding" and record["severity"] != "info":
                    told = datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()
                    (before if told < when else after).append(_said(record))
        return Outcome(self.output(), before, after, codes, connections)

    def kill(self) -> None:
        """End what is still there; for a run that failed."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _over(self) -> bool:
        return any(process.poll() not in (None, 0) for process in self.started)


def _said(record: dict[str, object]) -> Said:
    opened = record.get("opened")
    line = f"{Path(opened['file']).name}:{opened['line']} {opened['function']}" if isinstance(opened, dict) else "-"
    return Said(str(record["rule"]), str(record["severity"]), line)
