"""A service grows from six workers to nine and then to twelve, as its load does, and stays there, below
the fixed limit.

source: gregsadetsky/tps#21
needs: postgres
settings: EVERY=0.05 TOO_MANY=30
"""

import os
import threading
import time
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
stop = threading.Event()


def serve(number):
    with closing(psycopg2.connect(DSN)) as connection:
        connection.autocommit = True
        while not stop.wait(0.1):
            with connection.cursor() as cursor:
                cursor.execute("SELECT %s", [number])


threads = [threading.Thread(target=serve, args=(number,)) for number in range(12)]
for number, thread in enumerate(threads, 1):
    thread.start()
    if number in (6, 9, 12):
        time.sleep(0.6)
stop.set()
for thread in threads:
    thread.join()
