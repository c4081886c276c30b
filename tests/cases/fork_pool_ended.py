"""A pool of processes asks on its parent's socket, and leaving its block ends the workers by SIGTERM.

source: minus34/gnaf-loader#61
needs: postgres
"""

import multiprocessing
import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: shared-across-fork error x1
connection.autocommit = True


def load(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        return cursor.fetchone()[0]


with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(load, range(4)))
