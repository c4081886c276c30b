"""What it costs a watched process that it can be asked by `whoholds dump`, and what an answer costs.

    python bench/dump.py

Prints the CPU time that each look pays while nobody asks: in a loop, and as in a program, after a sleep and after an
idle look of a watch (less what a call of nothing takes there). Then the CPU time of an answer, and its size, by how
much is held.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.worlds import CARS, REPORT, Program, thread

from whoholds.watching.answering import Answering
from whoholds.watching.holders import described

LOOPS = 20_000
COLD = 300


def idle(*, folder: bool) -> tuple[float, float]:
    """CPU time of one look in µs, in a loop and after a sleep and a look; `folder`: whether somebody has asked before, in another folder."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["TMPDIR"] = temporary
        os.environ.pop("XDG_RUNTIME_DIR", None)
        path = Path(temporary, f"whoholds-{os.geteuid()}")
        if folder:
            path.mkdir(0o700)
            os.utime(path, (1, 1))
        look = Answering(dict).look
        look()
        begun = time.thread_time()
        for _ in range(LOOPS):
            look()
        warm = (time.thread_time() - begun) / LOOPS
        cold, nothing = [], []
        watch = Program().watch
        for _ in range(COLD):
            for call, times in ((look, cold), (int, nothing)):
                time.sleep(0.02)
                watch.tick()
                begun = time.thread_time()
                call()
                times.append(time.thread_time() - begun)
        return warm * 1e6, (statistics.median(cold) - statistics.median(nothing)) * 1e6


def answer(held: int) -> tuple[float, int]:
    """CPU time of an answer in ms, without the look that precedes it, and its size in bytes."""
    program = Program()
    for number in range(held):
        program.opens(CARS, thread(f"Thread-{number}", REPORT))
    program.looks()
    times = []
    for _ in range(5):
        begun = time.thread_time()
        text = json.dumps(described(program.watch))
        times.append(time.thread_time() - begun)
    return statistics.median(times) * 1e3, len(text)


if __name__ == "__main__":
    for folder in (False, True):
        warm, cold = idle(folder=folder)
        print(
            f"nobody asks, {'with' if folder else 'no'} folder: {warm:.1f} µs a look in a loop, {cold:.1f} µs after a sleep and a look"
        )
    for held in (10, 1000, 10_000):
        took, size = answer(held)
        print(f"an answer with {held} held, and its look: {took:.1f} ms, {size / 1e3:.0f} kB")
