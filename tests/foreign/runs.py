"""Run a foreign suite once, in a clean virtual environment, and gather what its tests did."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.foreign.sources import SourceError, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.foreign.suites import Call, Suite

ROOT = Path(__file__).parents[2]
RECORDERS = Path(__file__).with_name("recorders")
EXIT = "(exit)"
GOOD = frozenset({"passed", "skipped", "xfailed"})
# What `Watch.stand_aside` says; here also what the last look says, and processes that a test has started.
ASIDE = re.compile(r"whoholds: (.*) \[(?:driver|output|logging|predicate|detector|look|hook)-[a-z-]+\]")
RESTARTS = 20  # after a hang or a crash the tests not yet run get another process

VARIANTS: dict[str, dict[str, str]] = {
    "bare": {},
    "plain": {"WHOHOLDS": "1"},
    "tags": {"WHOHOLDS": "1", "WHOHOLDS_TAG": "1"},
    "journal": {"WHOHOLDS": "journal", "WHOHOLDS_JOURNAL": "{work}/journal-{{pid}}.jsonl"},
}


@dataclass(frozen=True)
class Outcome:
    """How a test ended (passed, failed, error, skipped, xfailed, xpassed, hung, crashed) and what it said."""

    kind: str
    text: str = ""


@dataclass
class Run:
    """What one run of a suite brought: outcomes by test id, warnings with their number, seconds taken.

    `watched` says whether whoholds was at work in it; None where it never came to its end. `aside` is what
    of it stood aside: a driver that could not enter, an output that was switched off.
    """

    tests: dict[str, Outcome] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    watched: bool | None = None
    aside: list[str] = field(default_factory=list)

    def bad(self) -> dict[str, Outcome]:
        """Give the tests that did not go well."""
        return {test: outcome for test, outcome in self.tests.items() if outcome.kind not in GOOD}


def environment(suite: Suite, python: Path, version: str, cache: Path, *, watched: bool) -> Path:
    """Give the interpreter of the suite's own virtual environment, made anew when its needs change.

    With `watched` this checkout is installed in it, as it is now: it does nothing until a variable asks.
    """
    digest = hashlib.sha256(" ".join((str(python), *suite.requires)).encode()).hexdigest()[:8]
    place = cache / "venvs" / f"{suite.name}-{version}-{digest}"
    program = place / "bin" / "python"
    ready = place / "ready"
    if not ready.exists():
        run([str(python), "-m", "venv", "--clear", str(place)])
        if suite.requires:
            run([str(program), "-m", "pip", "install", "--quiet", *suite.requires])
        ready.touch()
    if watched:
        install = [str(program), "-m", "pip", "install", "--quiet"]
        run([*install, str(ROOT)])  # brings what it depends on
        run([*install, "--no-deps", "--force-reinstall", str(ROOT)])  # pip keeps an equal version
    return program


def once(
    suite: Suite,
    python: Path,
    version: str,
    source: Path,
    variant: str,
    work: Path,
    only: Iterable[str] | None = None,
) -> Run:
    """Run the suite with fresh servers, all of it or some tests only; its output is `work`/output."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    gathered = Run()
    started = time.monotonic()
    with ExitStack() as stack:
        call = suite.prepare(stack, source, version)
        if only is not None:
            (work / "only").write_text("\n".join(only), encoding="utf-8")
        for _ in range(RESTARTS):
            if _process(suite, python, call, variant, work, gathered):
                break
    gathered.seconds = time.monotonic() - started
    told = (work / "output").read_text(encoding="utf-8", errors="replace")
    gathered.aside = sorted({*gathered.aside, *ASIDE.findall(told)})
    if gathered.watched is not None and gathered.watched != (variant != "bare"):
        raise SourceError(f"{suite.name}, {variant}: whoholds was {'' if gathered.watched else 'not '}at work")
    return gathered


def _process(suite: Suite, python: Path, call: Call, variant: str, work: Path, gathered: Run) -> bool:
    """Run one process over the tests that have no outcome yet; True when it came to its end."""
    record = work / "record.jsonl"
    record.unlink(missing_ok=True)
    (work / "skip").write_text("\n".join(gathered.tests), encoding="utf-8")
    with (work / "output").open("ab") as output:
        process = subprocess.Popen(
            [python, *call.arguments],
            cwd=call.cwd,
            env=_variables(call, variant, work),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            hung = not _watched(process, record, suite.patience)
        finally:
            _kill_group(process)
    running, done = _read(record, gathered)
    died = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
    if running is not None:
        gathered.tests[running] = Outcome("hung" if hung else "crashed", died)
        return False
    if hung or not done or process.returncode < 0:
        gathered.tests[EXIT] = Outcome("hung" if hung else "crashed", f"{died}:\n{_tail(work / 'output')}")
    else:
        gathered.tests[EXIT] = Outcome("passed")
    return True


def _variables(call: Call, variant: str, work: Path) -> Mapping[str, str]:
    """Give a small environment: ours must not decide how a foreign test ends."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "TZ")
    variables = {name: os.environ[name] for name in kept if name in os.environ}
    variables |= {name: value.format(work=work) for name, value in VARIANTS[variant].items()}
    variables |= {
        "PYTHONPATH": str(RECORDERS),
        "PYTHONHASHSEED": "0",
        "FOREIGN_RECORD": str(work / "record.jsonl"),
        "FOREIGN_SKIP": str(work / "skip"),
    }
    if (work / "only").exists():
        variables["FOREIGN_ONLY"] = str(work / "only")
    return variables | call.env


def _watched(process: subprocess.Popen[bytes], record: Path, patience: float) -> bool:
    """Wait for the end (True), or until for `patience` seconds nothing was recorded (False)."""
    size, since = -1, time.monotonic()
    while True:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            now = record.stat().st_size if record.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                return False
        else:
            return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the suite and whatever it left behind in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _read(record: Path, gathered: Run) -> tuple[str | None, bool]:
    """Add what was recorded; gives the test that was running at the end, and whether all had run."""
    running, done = None, False
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:  # cut off in the middle by the crash
            continue
        if "begin" in said:
            running = said["begin"]
        elif "end" in said:
            gathered.tests[said["end"]] = Outcome(said["outcome"], said["text"])
            running = None if running == said["end"] else running
        elif "warning" in said:
            gathered.warnings[said["warning"]] = gathered.warnings.get(said["warning"], 0) + 1
        elif "done" in said:
            done, gathered.watched = True, said["watched"]
            gathered.aside += said["aside"]
    return running, done


def _tail(path: Path) -> str:
    """Give the last lines of what a suite printed."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
