"""threading.Thread, patched by gevent into greenlets, opens a connection in each.

source: psycopg/psycopg2#1725
needs: postgres
settings: TOO_MANY=10
"""

from gevent import monkey

monkey.patch_all()

import os
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(12)


def call(number):
    # opened: too-many-at-once warning x12 by call
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait()
        cursor.execute("SELECT %s", [number])


threads = [threading.Thread(target=call, args=(number,)) for number in range(12)]
for thread in threads:
    thread.start()  # spawned: call
for thread in threads:
    thread.join()
