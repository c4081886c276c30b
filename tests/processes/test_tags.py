"""WHOHOLDS_TAG=1 in a program of its own, which needs no change for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.needs import needed

if TYPE_CHECKING:
    from tests.programs import Programs

PROGRAM = """
import os, psycopg2
def load_cars():
    connection = psycopg2.connect(os.environ["DSN"])
    cursor = connection.cursor()
    cursor.execute("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    print(cursor.fetchone()[0])
    connection.close()
load_cars()
"""


@pytest.mark.parametrize(("setting", "shown"), [("1", "app.py: app.py:4 load_cars"), ("0", ""), ("", "")])
def test_the_server_shows_the_programs_line(program: Programs, postgres: str, setting: str, shown: str) -> None:
    needed("psycopg2")
    ran = program.run(PROGRAM, WHOHOLDS_TAG=setting, DSN=postgres)
    assert (ran.code, ran.out) == (0, f"{shown}\n")
    assert ran.clean
