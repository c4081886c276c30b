"""Owners: whether they are gone, and what the question leaves behind."""

from __future__ import annotations

import _thread
import gc
import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import ref

from whoholds.ledger import cpython
from whoholds.ledger.here import current_owner
from whoholds.ledger.owner import Owner

if TYPE_CHECKING:
    import pytest


class Thing:
    """Something that can be referred to weakly."""


def test_to_ask_whether_a_thread_is_gone_keeps_nothing_of_who_asks() -> None:
    """A thread that Python does not know is looked up among the frames of all, of which one is the asker's own."""
    owner = Owner("thread", "raw", None, threading.get_ident(), None)

    def asks() -> ref[Thing]:
        thing = Thing()
        assert not owner.gone()
        return ref(thing)

    gc.collect()
    gc.disable()
    try:
        assert asks()() is None
    finally:
        gc.enable()


def test_a_thread_of_c_is_not_gone_while_it_runs_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's in C or Rust has no frame between two requests, and keeps its thread-locals; then it ends."""
    owners: list[Owner | None] = []
    asked, ends, over = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        owners.append(current_owner())
        asked.set()
        ends.wait()

    def run() -> None:
        work()
        over.set()

    _thread.start_new_thread(run, ())
    asked.wait()
    (owner,) = owners
    assert owner is not None
    assert owner.ref is None
    monkeypatch.setattr(cpython, "current_frames", lambda: {threading.get_ident(): sys._getframe()})
    assert not owner.gone()
    ends.set()
    over.wait()
    deadline = time.monotonic() + 10
    while not owner.gone() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert owner.gone()
