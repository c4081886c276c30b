"""Workers started by multiprocessing's fork use the connection that the module opened when it was imported.

source: minus34/gnaf-loader#61
needs: postgres
"""

import multiprocessing
import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: shared-across-fork error x2
connection.autocommit = True


def load(part):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [part])
        print(cursor.fetchone())


context = multiprocessing.get_context("fork")
for part in range(2):
    process = context.Process(target=load, args=(part,))
    process.start()
    process.join()
