"""Workers read their job inside a transaction and then work on it for long, all of them idle in transaction.

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
    # opened: idle-in-transaction warning x3 by work
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        time.sleep(1.4)
        cursor.execute("SELECT %s", [-number])


threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()  # spawned: work
for thread in threads:
    thread.join()
