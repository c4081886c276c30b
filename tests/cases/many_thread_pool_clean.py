"""The same ThreadPool with three threads.

source: openaddresses/machine#613
needs: postgres
settings: TOO_MANY=10
"""

import os
from contextlib import closing
from multiprocessing.pool import ThreadPool

import psycopg2

DSN = os.environ["DSN"]


def load(source):
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s, pg_sleep(0.02)", [source])
        return source


with ThreadPool(3) as pool:
    print(sum(pool.map(load, range(12), chunksize=1)))
