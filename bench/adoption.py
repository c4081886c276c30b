"""What adoption costs a program, by the number of its objects: `python bench/adoption.py`.

Nothing else is measured: the search runs once, at `whoholds.start()`.
"""

from __future__ import annotations

import gc
import sqlite3
import time

from whoholds.assembling import adopt
from whoholds.ledger.ledger import Ledger

CONNECTIONS = 20


class Repository:
    """An object with a connection."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")


def main() -> None:
    """Print one line for each number of objects."""
    repositories = [Repository() for _ in range(CONNECTIONS)]
    adopt(Ledger())  # imports what it needs
    objects: list[list[list[int]]] = []
    for number in (0, 100_000, 1_000_000):
        objects += [[[item]] for item in range(number // 2 - len(objects))]
        began = time.perf_counter()
        found = adopt(Ledger())
        seconds = time.perf_counter() - began
        print(f"{len(gc.get_objects()):>10,} objects: {found} connections found in {seconds * 1000:.0f} ms")
    for repository in repositories:
        repository.connection.close()


if __name__ == "__main__":
    main()
