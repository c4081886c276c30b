"""A service that uses one connection at a time suddenly opens eighteen, still below the fixed limit.

source: gregsadetsky/tps#21
needs: postgres
settings: EVERY=0.02 TOO_MANY=30 STORM=100
"""

import os
import threading
import time
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(18)


def ask(number):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        time.sleep(0.03)


def recompute(number):
    # opened: too-many-at-once warning x18 by recompute
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [number])


for number in range(100):
    ask(number)
threads = [threading.Thread(target=recompute, args=(number,)) for number in range(18)]
for thread in threads:
    thread.start()  # spawned: recompute
for thread in threads:
    thread.join()
