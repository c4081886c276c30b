"""Short threads open a connection each and hand it over to the main loop, which uses it long after they
have ended.

source: r-spade/ormah#83
needs: postgres
settings: OWNER_GONE=0.5 EVERY=0.1
"""

import os
import queue
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
ready = queue.Queue()


def warm_up():
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    ready.put(connection)


threads = [threading.Thread(target=warm_up) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connections = [ready.get() for _ in range(3)]
for number in range(12):
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
    time.sleep(0.1)
for connection in connections:
    connection.close()
