"""closing() is put around the connection, and with around its transaction.

source: psycopg/psycopg2#981
needs: postgres
"""

import os
import threading
from contextlib import closing

import psycopg2
from psycopg2.extras import NamedTupleCursor

DSN = os.environ["DSN"]
results = {}


def fetch(name):
    with closing(psycopg2.connect(DSN)) as connection, connection:
        cursor = connection.cursor(cursor_factory=NamedTupleCursor)
        cursor.execute("SELECT %s AS name", [name])
        results[name] = cursor.fetchone()


threads = [threading.Thread(target=fetch, args=(name,)) for name in ("ann", "ben", "eve", "max")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([result.name for result in results.values()])
