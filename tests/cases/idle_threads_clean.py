"""The workers commit before they begin the long part.

source: canonical/test_observer#571
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import os
import threading
import time
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def work(number):
    with closing(psycopg2.connect(DSN)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
        time.sleep(1.2)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [-number])


threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
