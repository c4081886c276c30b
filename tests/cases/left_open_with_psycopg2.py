"""A with block around psycopg2.connect is taken to close it, while cursors that are kept for later keep
it open.

source: psycopg/psycopg2#981
needs: postgres
"""

import os
import threading

import psycopg2
from psycopg2.extras import NamedTupleCursor

DSN = os.environ["DSN"]
results = {}


def fetch(name):
    with psycopg2.connect(DSN) as connection:  # opened: left-open error x4 by fetch
        cursor = connection.cursor(cursor_factory=NamedTupleCursor)
        cursor.execute("SELECT %s AS name", [name])
        results[name] = cursor


threads = [threading.Thread(target=fetch, args=(name,)) for name in ("ann", "ben", "eve", "max")]
for thread in threads:
    thread.start()  # spawned: fetch
for thread in threads:
    thread.join()
print([cursor.fetchone().name for cursor in results.values()])
