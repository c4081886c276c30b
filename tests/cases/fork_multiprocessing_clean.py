"""A process pool's initializer opens one connection in each child.

source: emissions-api/emissions-api#237
needs: postgres
"""

import multiprocessing
import os

import psycopg2

connection = None


def connect():
    global connection  # noqa: PLW0603 (one in each child)
    connection = psycopg2.connect(os.environ["DSN"])
    connection.autocommit = True


def load(part):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [part])
        return cursor.fetchone()[0]


pool = multiprocessing.get_context("fork").Pool(2, initializer=connect)
print(sum(pool.map(load, range(6))))
pool.close()
pool.join()
