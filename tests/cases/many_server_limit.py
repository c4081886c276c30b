"""The server allows this user twelve connections, and ten threads hold one each.

source: psycopg/psycopg2#663
needs: postgres
settings: TOO_MANY=8 SERVER_LIMIT=12
"""

import os
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(10)


def load(number):
    # opened: too-many-at-once error x10 by load
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [number])


threads = [threading.Thread(target=load, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()  # spawned: load
for thread in threads:
    thread.join()
