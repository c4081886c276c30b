"""Threads connect through a name imported from psycopg2, with DictConnection as factory, and nobody closes.

source: psycopg/psycopg2#981
needs: postgres
"""

import os
import threading

from psycopg2 import connect
from psycopg2.extras import DictConnection

DSN = os.environ["DSN"]
connections = []


def load(name):
    connection = connect(DSN, connection_factory=DictConnection)  # opened: left-open error x3 by load
    connections.append(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s AS name", [name])
        print(cursor.fetchone()["name"])


threads = [threading.Thread(target=load, args=(name,)) for name in ("ann", "ben", "eve")]
for thread in threads:
    thread.start()  # spawned: load
for thread in threads:
    thread.join()
