"""The same worker in a process from multiprocessing's fork server.

source: pyani-plus/pyani-plus#426
"""

import multiprocessing
import sqlite3

shards = []


def index(first):
    for number in range(first, first + 3):
        connection = sqlite3.connect(f"shard{number}.db")  # opened: left-open error x3 by index
        connection.execute("CREATE TABLE genome (hash)")
        shards.append(connection)


if __name__ == "__main__":
    process = multiprocessing.get_context("forkserver").Process(target=index, args=(0,))
    process.start()  # spawned: index
    process.join()
