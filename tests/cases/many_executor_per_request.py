"""Every request makes an executor of four for itself, and three requests come at once.

source: openego/eGon-data#799
needs: postgres
settings: TOO_MANY=10
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(12)


def load(part):
    # opened: too-many-at-once warning x12 by load
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [part])


def handle():
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(load, range(4)))  # spawned: load


requests = [threading.Thread(target=handle) for _ in range(3)]
for request in requests:
    request.start()
for request in requests:
    request.join()
