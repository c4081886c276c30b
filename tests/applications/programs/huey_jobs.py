"""Huey on a sqlite file; each job reads from a database of its own, and the program that asks ends by itself."""

import sqlite3
import sys
from contextlib import closing

from huey import SqliteHuey

huey = SqliteHuey(filename="jobs.db")


@huey.task()
def count(number: int) -> int:
    """Read something from another database."""
    with closing(sqlite3.connect("shop.db")) as shop:
        told = shop.execute("SELECT ?", (number,)).fetchone()[0]
    print("job", told, flush=True)
    return told


if __name__ == "__main__":
    import huey_jobs

    answers = [huey_jobs.count(number) for number in range(6)]
    sys.exit(sum(answer.get(blocking=True, timeout=60) for answer in answers) != 15)
