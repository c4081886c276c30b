"""Hostile programs, each run bare and watched: what it prints and its exit code are the same, and it was seen."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.hostile.strange import OPTIONS, PLAIN, PROGRAMS
from tests.programs import Programs, Ran

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60  # seconds, on a busy machine


def without_addresses(text: str) -> list[str]:
    """Give its lines, comparable between two processes."""
    return re.sub(r"0x[0-9a-f]+", "0x", text).splitlines()


def same(tmp_path: Path, source: str, options: list[str]) -> Ran:
    """Run it bare and watched at once, each in a folder of its own, hold them together, and give the watched one."""
    ways = {"bare": {"WHOHOLDS": None, "WHOHOLDS_JOURNAL": None}, "watched": {"WHOHOLDS_EVERY": "0.01"}}
    running = []
    for way, settings in ways.items():
        (tmp_path / way).mkdir()
        programs = Programs(tmp_path / way)
        running.append((programs, programs.start(source, options=options, **settings)))
    bare, watched = [programs.ends(process, within=PATIENCE) for programs, process in running]
    assert (watched.code, watched.out) == (bare.code, bare.out)
    ours = set(without_addresses(watched.err)) - set(without_addresses(bare.err))
    assert not [line for line in ours if "Traceback" in line or "Exception ignored" in line], watched.err
    return watched


@pytest.mark.skipif(os.name != "posix", reason="some programs make a FIFO")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_prints_what_it_prints_bare(name: str, tmp_path: Path) -> None:
    """The same words and the same exit code; no traceback of ours on stderr."""
    same(tmp_path, PROGRAMS[name], [])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_python_with_its_options_prints_what_it_prints_bare(options: list[str], tmp_path: Path) -> None:
    """And is watched, unless no .pth file is read."""
    ran = same(tmp_path, PLAIN, options)
    assert ("-S" in options) == (not ran.records)


def test_the_table_is_run_on_this_python() -> None:
    """It is not empty."""
    assert len(PROGRAMS) > 40
    assert sys.implementation.name == "cpython"
