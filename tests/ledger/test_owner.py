"""Owners: whether they are gone, and what the question leaves behind."""

from __future__ import annotations

import gc
import threading
from weakref import ref

from whoholds.ledger.owner import Owner


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
