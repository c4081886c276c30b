"""The README shows what is true: a report as printed, figures of docs/cost.md, two commands, and no dead link on PyPI."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import example_texts
from tests.needs import needed

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
WIDTH = 100  # of what GitHub shows of a block without a scroll bar


def test_the_report_is_the_one_that_the_example_prints() -> None:
    """But for numbers and times, and where its long lines are broken."""
    shown = next(text for language, text in BLOCKS if language == "text")
    printed = example_texts.kept_beside("fan_out.py").read_text(encoding="utf-8")
    as_shown, as_printed = (" ".join(example_texts.normalised(text).split()) for text in (shown, printed))
    assert as_shown == as_printed


def test_no_block_is_cut_off() -> None:
    """No line of a block is wider than GitHub shows."""
    assert [line for _, text in BLOCKS for line in text.splitlines() if len(line) > WIDTH] == []


def test_the_first_two_sh_blocks_are_the_two_commands() -> None:
    """The first runs the example, the second the tests; each makes its own environment."""
    first, second = [text.splitlines() for language, text in BLOCKS if language == "sh"][:2]
    assert (first[-1], second[-1]) == (
        "WHOHOLDS=1 .venv/bin/python examples/fan_out.py",
        ".venv-test/bin/python -m tests",
    )
    assert all(block[0].startswith("python3 -m venv ") for block in (first, second))


def test_the_figures_are_those_of_the_page_about_cost() -> None:
    """Each row of figures stands there as well, where the script that prints it is named."""
    section = README.partition("## What it costs")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "µs" in line]
    cost = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row.startswith("| a request")]  # what a program pays, and not its parts alone
    assert [row for row in rows if row not in cost] == []


def test_the_built_package_has_no_link_into_the_repository(tmp_path: Path) -> None:
    """An index such as PyPI shows the README of the wheel, and knows no path of the repository."""
    needed("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        text = wheel.read(name).decode("utf-8").partition("\n\n")[2]
    assert "Who holds my database connections?" in text
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []
    assert "docs/start.md" in text
