"""`whoholds server` on a small fleet; `python -m tests.fleet` runs large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import _installed
from tests.fleet.asking import ask, wrong
from tests.fleet.running import fleet, mariadb, postgresql

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.fleet.running import Server

SLOTS, PROCESSES, EACH, HOSTS = 80, 8, 6, 4


@pytest.mark.once
@pytest.mark.parametrize("started", [postgresql, mariadb])
def test_it_is_right_to_the_slot_and_the_line(started: Callable[[int], AbstractContextManager[Server]]) -> None:
    """Six programs, of which some leak, some are idle in transaction, and some block others, on four hosts."""
    with _installed(started(SLOTS)) as server, fleet(server, PROCESSES, EACH, HOSTS) as truth:
        answer = ask(server)
    assert wrong(answer, truth, SLOTS) == []
    assert len(answer.text) < 40  # a screen, whatever the number of hosts
