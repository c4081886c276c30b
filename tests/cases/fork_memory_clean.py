"""A parallel test runner fills a database in memory once; each forked worker goes on with its own copy of it.

source: django/django#4761
"""

import multiprocessing
import sqlite3

connections = [
    sqlite3.connect("file:memorydb_default?mode=memory&cache=shared", uri=True),
    sqlite3.connect(":memory:"),
]
for connection in connections:
    connection.execute("CREATE TABLE service (name)")
    connection.commit()


def work(name):
    for connection in connections:
        connection.execute("INSERT INTO service VALUES (?)", [name])
        connection.commit()
    return sum(connection.execute("SELECT count(*) FROM service").fetchone()[0] for connection in connections)


with multiprocessing.get_context("fork").Pool(2) as workers:
    print(workers.map(work, ["ann", "bob"]) != [])
    workers.close()  # without it they are killed, and say nothing
    workers.join()
for connection in connections:
    connection.close()
