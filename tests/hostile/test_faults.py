"""A share of what `python -m tests.hostile` tries whole: our faults, and exceptions at our instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hostile import faults, interrupts
from tests.hostile.programs import PROGRAMS, World, here
from tests.hostile.programs import needs as program_needs
from tests.hostile.stretches import STRETCHES
from tests.needs import lacking

# their hooks are the ones that the others try
ON_ONE_PYTHON = {"aiomysql", "asyncmy", "mariadb", "mysql_connector_pool", "pyodbc", "aioodbc"}
SPARSE = 9  # of the functions that a program reaches, each so-manyeth is made to raise
RARE = 7  # of the places where a signal's handler may run; a prime, so that loops are met at other places each


def world_for(needs: tuple[str, ...], request: pytest.FixtureRequest) -> World:
    """Start what is needed of servers; skip, or fail in CI, where a library is missing."""
    world = World(Path())
    if "postgres" in needs:
        world.postgres = request.getfixturevalue("postgres")
    if "mariadb" in needs:
        world.mariadb = request.getfixturevalue("mariadb")
    for need in needs:
        if not here(need, world):
            lacking(f"{need} is not installed")
    return world


@pytest.mark.parametrize(
    "program", [pytest.param(name, marks=pytest.mark.once) if name in ON_ONE_PYTHON else name for name in PROGRAMS]
)
def test_a_fault_of_ours_stays_ours(program: str, request: pytest.FixtureRequest) -> None:
    """The program says what it says without us, and a look says what went wrong."""
    world = world_for(program_needs(program), request)
    found = faults.trials(program, world, every=SPARSE)
    assert found
    assert [one for one in found if one.verdict] == []


@pytest.mark.parametrize("program", ["sqlite3", "psycopg2"])
def test_a_fault_of_ours_stays_ours_where_statements_have_spans(program: str, request: pytest.FixtureRequest) -> None:
    """With OpenTelemetry's SDK."""
    world = world_for(program_needs(program), request)
    found = faults.trials(program, world, spans=True, every=SPARSE)
    assert found
    assert [one for one in found if one.verdict] == []


@pytest.mark.parametrize("stretch", STRETCHES)
def test_an_exception_of_a_signals_handler_is_survived_wherever_it_may_come(
    stretch: str, request: pytest.FixtureRequest
) -> None:
    """It arrives, the ledger holds what is open, nobody is inside, nobody is accused."""
    found = interrupts.trials(stretch, world_for(STRETCHES[stretch].needs, request), every=RARE)
    assert found
    assert [one for one in found if one.verdict] == []


def test_the_harness_sees_a_fault_that_reaches_the_program() -> None:
    """What is held against the bare program differs where it should."""
    bare: dict[str, Any] = {"said": ["7"], "ended": []}
    broken = {"said": [], "ended": ["FaultError", ["the harness raises here"], ""], "times": 1, "told": True}
    assert faults._verdict(bare, broken)[0] == "reached"
    assert faults._verdict(bare, {**bare, "times": 1, "told": False})[0] == "unsaid"
    assert faults._verdict(bare, {**bare, "times": 1, "told": True})[0] == ""
