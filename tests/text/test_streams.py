"""Streams: one that is given up, and stderr, which may be somebody else's by now."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.skipif(os.name != "posix", reason="another system has other descriptors")
@pytest.mark.parametrize(("passed_on", "written"), [(False, "data\n"), (True, "data\nsaid\n")])
def test_a_file_that_got_the_number_of_stderr_stays_as_it_is(tmp_path: Path, *, passed_on: bool, written: str) -> None:
    """A daemon closes what it does not know; one that sends its stderr to a file passes that on to its children."""
    path = tmp_path / "data.csv"
    program = f"""
import os
from whoholds.text.streams import say
os.close(2)
data = open({str(path)!r}, "w")
assert data.fileno() == 2
os.set_inheritable(2, {passed_on})
print("data", file=data, flush=True)
say("said")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert path.read_text() == written
