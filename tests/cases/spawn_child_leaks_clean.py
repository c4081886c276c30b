"""The spawned worker closes what it opens.

source: pyani-plus/pyani-plus#426
"""

import multiprocessing
import sqlite3
from contextlib import closing


def index(first):
    for number in range(first, first + 3):
        with closing(sqlite3.connect(f"shard{number}.db")) as connection:
            connection.execute("CREATE TABLE genome (hash)")


if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=index, args=(0,))
    process.start()
    process.join()
