"""The process's one connection is made lazily by whichever request thread comes first.

source: CalebBell/thermo#156
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time

import psycopg2

lock = threading.Lock()
connection = None


def get_connection():
    global connection  # noqa: PLW0603 (one for the process)
    with lock:
        if connection is None:
            connection = psycopg2.connect(os.environ["DSN"])
            connection.autocommit = True
        return connection


def handle(number):
    with get_connection().cursor() as cursor:
        cursor.execute("SELECT %s", [number])


first = threading.Thread(target=handle, args=(1,))
first.start()
first.join()
time.sleep(1.2)
