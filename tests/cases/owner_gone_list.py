"""Short threads open connections into a shared list and end; nobody uses them again until the shutdown
closes them.

source: r-spade/ormah#83
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
stderr: yes
"""

import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
connections = []


def maintain(phase):
    # opened: owner-gone error x4 by maintain; given-back info x4 by maintain
    connection = psycopg2.connect(DSN)
    connections.append(connection)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [phase])


threads = [threading.Thread(target=maintain, args=(phase,)) for phase in range(4)]
for thread in threads:
    thread.start()  # spawned: maintain
for thread in threads:
    thread.join()
time.sleep(1.5)
for connection in connections:
    connection.close()
