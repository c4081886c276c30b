"""An executor is bounded, but far wider than the database likes.

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


def load(tile):
    # opened: too-many-at-once warning x12 by load
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [tile])


with ThreadPoolExecutor(max_workers=12) as executor:
    for _ in executor.map(load, range(24)):  # spawned: load
        pass
