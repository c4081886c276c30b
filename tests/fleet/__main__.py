"""`python -m tests.fleet`: 50 processes with 500 connections on a real PostgreSQL, 15 with 150 on a real MariaDB.

Six small programs, of which some leak, some are idle in transaction, and some block others. `whoholds server` is right
about each connection, or the exit code is 1; how long it took is printed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.fleet.asking import ask, printed, wrong
from tests.fleet.running import fleet, mariadb, postgresql

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.fleet.running import Server

SIZES = ((postgresql, 600, 50), (mariadb, 160, 15))
EACH, HOSTS = 10, 10


def proof(started: Callable[[int], AbstractContextManager[Server]], slots: int, processes: int) -> bool:
    """Run one fleet, print what the command said and how long it took, and return whether it was right."""
    with started(slots) as server, fleet(server, processes, EACH, HOSTS) as truth:
        answer = ask(server)
        text = printed(server)
    print(text)
    size = f"{processes} processes, {truth.connections} connections, {len(truth.lines)} lines, {HOSTS} hosts"
    times = f"{answer.look_s * 1000:.0f} ms for the queries and {answer.told_s * 1000:.0f} ms for the words"
    length = f"{len(text.splitlines())} lines, {answer.data_bytes} bytes of JSON"
    print(f"{size}: {answer.command_s:.2f} s for the command, of which {times}; {length}")
    differences = wrong(answer, truth, slots)
    print("\n".join(("WRONG:", *differences)) if differences else "right to the slot and the line", flush=True)
    return not differences


def main() -> int:
    right = [proof(*size) for size in SIZES]  # all of them, even if one is wrong
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
