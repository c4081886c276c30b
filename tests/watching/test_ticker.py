"""The thread that ticks: how it is stopped for a fork, and that it always starts again."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from whoholds.watching.ticker import Ticker
from whoholds.watching.watch import Watch


class _TimeOut(Exception):  # noqa: N818 - programs call it so
    """What the program's handler of a signal raises."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that sends a signal")
def test_a_hold_that_a_signal_interrupts_keeps_nothing_stopped() -> None:
    """It waits for a long look when the handler raises; the next opening starts the thread again."""
    looks, over = threading.Event(), threading.Event()

    def long(_snapshot: Any, _limits: Any) -> tuple[()]:
        looks.set()
        over.wait(30)
        return ()

    def times_out(_number: int, _frame: Any) -> None:
        raise _TimeOut

    ticker = Ticker(Watch(detectors={"long": long}))
    ticker.ensure()
    assert looks.wait(30)
    before = signal.signal(signal.SIGALRM, times_out)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(_TimeOut):
            ticker.hold()
    finally:
        signal.signal(signal.SIGALRM, before)
        over.set()
    ticker.ensure()
    assert ticker.ticks
    assert ticker.hold()
    ticker.go_on()
