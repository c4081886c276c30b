"""The recipes for continuous integration are well-formed, and their commands fail a suite that leaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

RECIPES = Path(__file__).parent.parent / "examples" / "ci"
LEAKS = """
import sqlite3

kept = []


def test_cars():
    kept.append(sqlite3.connect("shop.db"))
"""
COMMAND = re.compile(r"^\s*(?:- run: |- |entry: |exec )?(pytest .*?)(?: #.*)?$", re.MULTILINE)


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "PYTEST"))}
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("recipe", sorted(RECIPES.iterdir()), ids=lambda recipe: recipe.name)
def test_a_recipe_fails_a_suite_that_leaks(recipe: Path, tmp_path: Path) -> None:
    """Each has one command that runs the tests, which fails and names the leak."""
    (command,) = COMMAND.findall(recipe.read_text(encoding="utf-8"))
    (tmp_path / "test_shop.py").write_text(LEAKS, encoding="utf-8")
    failed = _run(f"{command} -p no:randomly -p no:cacheprovider", tmp_path)
    assert (failed.returncode, "left-open: test_shop.py:8 in test_cars" in failed.stdout) == (1, True), failed.stdout


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yml")), ids=lambda recipe: recipe.name)
def test_a_recipe_is_yaml(recipe: Path) -> None:
    """A mapping, as each of the tools wants it."""
    yaml = pytest.importorskip("yaml")
    assert isinstance(yaml.safe_load(recipe.read_text(encoding="utf-8")), dict)


def test_a_run_with_an_error_exits_with_three(tmp_path: Path) -> None:
    """`whoholds run --fail` says so by 3 where the program itself ends with 0, and by the program's code otherwise."""
    program = "import sqlite3\nkept = [sqlite3.connect('shop.db') for _ in range(2)]\n"
    (tmp_path / "nightly.py").write_text(program, encoding="utf-8")
    (tmp_path / "broken.py").write_text(f"{program}raise SystemExit(7)\n", encoding="utf-8")
    assert _run("whoholds run --fail nightly.py", tmp_path).returncode == 3
    assert _run("whoholds run nightly.py", tmp_path).returncode == 0
    assert _run("whoholds run --fail broken.py", tmp_path).returncode == 7
