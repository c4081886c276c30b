"""multiprocessing.pool.ThreadPool gets one thread per item.

source: openaddresses/machine#613
needs: postgres
settings: TOO_MANY=10
"""

import os
import threading
from contextlib import closing
from multiprocessing.pool import ThreadPool

import psycopg2

DSN = os.environ["DSN"]
SOURCES = range(12)
everyone = threading.Barrier(len(SOURCES))


def load(source):
    # opened: too-many-at-once warning x12 by load
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [source])
        return source


print(sum(ThreadPool(len(SOURCES)).map(load, SOURCES, chunksize=1)))  # spawned: load
