"""A stream that is given up: nothing more is written to it, and no descriptor stays behind."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING

from whoholds.text.streams import forget

if TYPE_CHECKING:
    from pathlib import Path


def free_descriptor() -> int:
    """Give the lowest descriptor that is free: it rises with each one that is left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_what_is_still_in_its_buffer_is_dropped(tmp_path: Path) -> None:
    """The stream writes to nowhere from then on."""
    path = tmp_path / "out.txt"
    with path.open("w") as stream:
        stream.write("never seen")
        before = free_descriptor()
        forget(stream)
        assert stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
        assert free_descriptor() == before
    assert path.read_text() == ""


def test_a_stream_without_a_descriptor_is_left_alone() -> None:
    """As a test's captured output."""
    before = free_descriptor()
    forget(io.StringIO())
    forget(None)
    assert free_descriptor() == before
