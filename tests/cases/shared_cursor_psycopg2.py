"""A module-level connection with one cursor per thread: the statements queue up inside the driver.

source: z3ath/kf2-magicked-admin#17
needs: postgres
settings: EVERY=0.1
"""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: shared-at-once warning x3
connection.autocommit = True
together = Barrier(3)


def motd(player):
    together.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s FROM pg_sleep(0.3)", [player])
        return cursor.fetchone()[0]


with ThreadPoolExecutor(3) as executor:
    print(list(executor.map(motd, ("ann", "ben", "eve"))))
connection.close()
