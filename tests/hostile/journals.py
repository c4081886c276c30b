"""Damaged and huge journals: `report` never gives a traceback, and takes the same memory for any size.

`python -m tests.hostile.journals` reads 5 000 mutations of a real journal, then journals of 50 and 1000 MB, and prints the
memory that reading each took. tests/hostile/test_journals.py does a part of it.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds.commands.report import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import sqlite3, threading
kept = []
def load(i):
    kept.append(sqlite3.connect("shop.db"))
    sqlite3.connect("shop.db").close()
threads = [threading.Thread(target=load, args=(i,)) for i in range(25)]
[one.start() for one in threads]; [one.join() for one in threads]
"""

# Values that a field should not have.
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**30, "", "x" * 10_000, "\x1b[2J\x07", "\ud800", "a\nb"),
    *([], {}, [[]], {"file": 5}, [None], [{"count": "x"}], "info", "finding", "\u202egnp.exe", "%s%n", "../../etc"),
)


def journal_of_a_program(folder: Path) -> bytes:
    """Give the journal of a program that leaks, as it wrote it."""
    path = folder / "real.jsonl"
    env = {"WHOHOLDS": "journal", "WHOHOLDS_JOURNAL": str(path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", PROGRAM], env=env, cwd=folder, check=True, timeout=60)  # noqa: S603
    return path.read_bytes()


def damaged_journals(folder: Path, what: str, count: int, seed: object = None) -> Iterator[Path]:
    """Give a journal, damaged in another way each time. `what` and `seed`, by default the date, choose the ways."""
    rng = random.Random(f"{what} {seed if seed is not None else time.strftime('%Y-%m-%d')}")
    real = journal_of_a_program(folder)
    path = folder / "damaged.jsonl"
    for _ in range(count):
        path.write_bytes(mutated(real, rng))
        yield path


def mutated(journal: bytes, rng: random.Random) -> bytes:
    """Give the journal with one to four things wrong with it."""
    lines = journal.splitlines(keepends=True)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(lines))
        lines[at] = rng.choice(_MUTATIONS)(lines[at], rng)
    rng.random() < 0.2 and rng.shuffle(lines)
    return b"".join(lines)


def _field(line: bytes, rng: random.Random) -> bytes:
    """A field of it, at any depth, is missing, or has another value."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # damaged already
        return line
    inside: Any = record
    while isinstance(inside, dict | list) and inside:
        key = rng.choice(list(inside)) if isinstance(inside, dict) else rng.randrange(len(inside))
        if rng.random() < 0.6 or not isinstance(inside[key], dict | list):
            if rng.random() < 0.3 and isinstance(inside, dict):
                del inside[key]
            else:
                inside[key] = rng.choice(STRANGE)
            break
        inside = inside[key]
    return json.dumps(record).encode() + b"\n"


def _bytes(line: bytes, rng: random.Random) -> bytes:
    """Some of its bytes are others."""
    changed = bytearray(line or b"\n")
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _field,
    _field,
    _field,
    _bytes,
    lambda line, rng: line[: rng.randrange(len(line) + 1)],
    lambda line, rng: line * 3,
    lambda line, rng: b"",
    lambda line, rng: rng.choice((b"[", b'{"a":')) * 100_000 + b"\n",
    lambda line, rng: b'{"type":"end","pid":' + b"9" * 6000 + b"}\n",
    lambda line, rng: rng.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"\0" * 50)) + line,
    lambda line, rng: b'{"type":"weather","pid":1}\n' + line,
    lambda line, rng: rng.randbytes(300) + b"\n",
)


def faults(folder: Path, mutations: int, seed: object) -> Counter[str]:
    """Read so many damaged journals; give what was wrong: an exception, or a control character that got out."""
    found: Counter[str] = Counter()
    for path in damaged_journals(folder, "journals", mutations, seed):
        out = io.TextIOWrapper(io.BytesIO(), "utf-8")
        try:
            with redirect_stdout(out), redirect_stderr(out):
                code = report([str(path)], verbose=True)
            said = out.buffer.getvalue().decode()
        except Exception as error:  # noqa: BLE001 - what it must not do
            found[f"{type(error).__name__}: {error}"[:100]] += 1
            continue
        if code not in (0, 2):
            found[f"exit code {code}"] += 1
        if any(ord(letter) < 32 and letter != "\n" for letter in said) or "\x7f" in said or "\u202e" in said:
            found["a control character"] += 1
    return found


def write_journal(path: Path, megabytes: float, *, lines: int = 500) -> int:
    """Write a journal of that size, as a program that ran for long would; give how many handles are in it."""
    handle = {
        "type": "handle", "key": 1, "kind": "connection", "driver": "psycopg2", "database": "postgresql://app@db/shop",
        "opened_at": "2024-01-01T00:00:00.000Z", "closed_at": "2024-01-01T00:00:01.000Z", "how": "closed", "held_s": 1.0,
        "busy_s": 0.5, "uses": 3, "spawned": None, "owner": "MainThread", "backend_pid": 4711, "pid": 17,
    }  # fmt: skip
    finding = {
        "type": "finding", "id": "17-1", "fingerprint": "x", "rule": "left-open", "severity": "error", "count": 1,
        "message": "left-open: x", "report": "whoholds: left-open: x\n" + "  y\n" * 100, "pid": 17, "opened": None,
    }  # fmt: skip
    written = count = 0
    with path.open("wb") as file:
        file.write(b'{"type":"run","pid":17}\n')
        while written < megabytes * 1_000_000:
            count += 1
            opened = {
                "file": f"/srv/shop/m{count % lines}.py",
                "line": 1 + count % 97,
                "function": "load",
                "source": "",
            }
            text = json.dumps({**handle, "key": count, "opened": opened}) + "\n"
            if count % 50 == 0:
                text += json.dumps({**finding, "id": f"17-{count}"}) + "\n"
            written += file.write(text.encode())
        file.write(b'{"type":"end","pid":17}\n')
    return count


MEASURE = """
import io, resource, sys
from whoholds.commands.report import report
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out, sys.stdout = sys.stdout, io.StringIO()
code = report(sys.argv[1:])
text, sys.stdout = sys.stdout.getvalue(), out
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, [line for line in text.splitlines() if "opened" in line][0])
"""


def measure(path: Path) -> tuple[int, float, str]:
    """Give the exit code of `report` on it, the kilobytes by which its process grew, and the headline."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)  # noqa: S603
    code, grown, headline = done.stdout.split(" ", 2)
    return int(code), float(grown), headline.strip()


def main() -> int:
    """All of it; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.journals")
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--megabytes", type=float, nargs="*", default=[50, 1000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = faults(folder, options.mutations, options.seed)
        for what, times in found.most_common():
            print(f"{times:>6} × {what}")
        print(f"{options.mutations} damaged journals, {sum(found.values())} faults, seed {options.seed}")
        for megabytes in options.megabytes:
            path = folder / "huge.jsonl"
            count = write_journal(path, megabytes)
            began = time.monotonic()
            code, grown, headline = measure(path)
            seconds = time.monotonic() - began
            print(
                f"{path.stat().st_size / 1e6:.0f} MB, {count} handles: exit {code}, +{grown / 1000:.1f} MB, {seconds:.0f} s"
            )
            print(f"  {headline}", flush=True)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
