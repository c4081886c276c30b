"""Every name that a watch replaces answers to introspection, copying and pickling as without us; what cannot is listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.programs import FOREIGN

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-W", "ignore", "-m", "tests.hostile.answers"]

# docs/transparency.md, "What differs": a function of Python stands for a method of a C type.
C_METHODS = ("method_descriptor", "wrapper_descriptor", "classmethod_descriptor")
OF_A_C_METHOD = {"type", "repr", "str", "weakref", "bound", "isfunction", "__module__", "__annotations__", "signature"}
# A function of Python stands for one that Cython has compiled.
OF_A_CYTHON_FUNCTION = {"type", "repr", "str", "isfunction"}
# A class of Python stands between a C class and the program's.
OF_A_C_CLASS = {"signature", "__annotations__", "names", "own mro"}


def run(what: str, paths: str = "", **environment: str) -> Any:
    """Give what a process of its own prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    done = subprocess.run(
        [*PROGRAM, what],
        input=paths,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environ, **environment},
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def answers() -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what each name answers without us, and watched."""
    paths = json.dumps(run("replaced"))
    return run("answers", paths), run("answers", paths, WHOHOLDS="warn")


def may_differ(bare: Any) -> set[str]:
    """Give the questions to which this name may answer otherwise."""
    kind = bare["type"].split("'")[1]
    if kind in C_METHODS:
        return OF_A_C_METHOD
    if kind.endswith(".cython_function_or_method"):
        return OF_A_CYTHON_FUNCTION
    return OF_A_C_CLASS if bare["isclass"] else set()


def test_the_libraries_are_here() -> None:
    """So many names are replaced that the comparison says something."""
    bare, watched = answers()
    assert bare.keys() == watched.keys()
    assert len(bare) > 100
    assert {"sqlite3:connect", "threading:Thread.start"} <= bare.keys()


def test_every_replaced_name_answers_as_the_original() -> None:
    """Type, repr, signature, source, copies, pickles, comparisons, in a class's body; but for what is listed."""
    bare, watched = answers()
    different = [
        f"{path}: {question}: {said} without us, {watched[path][question]} watched"
        for path in bare
        for question, said in bare[path].items()
        if watched[path][question] != said and question not in may_differ(bare[path])
    ]
    assert different == []


@pytest.mark.parametrize("question", ["names", "own mro"])
def test_a_class_of_c_has_nothing_but_our_slots_more(question: str) -> None:
    """And its name, module and place stay the same."""
    for path, said in answers()[0].items():
        if said["isclass"]:
            more = set(answers()[1][path][question]) - set(said[question])
            assert more <= {
                "_whoholds",
                "_whoholds_at",
                "_whoholds_cursor",
                "__slots__",
                "__annotations__",
                "__annotate_func__",  # with the next, the same on 3.14
                "__annotations_cache__",
                "__module__",
            }, path
            assert not set(said[question]) - set(answers()[1][path][question]), path
