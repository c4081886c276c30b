"""An error tracker's threading.excepthook keeps what killed each thread, and so the connection in its frame.

source: malthe/pq#41
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
crashes = []


def work(job):
    connection = psycopg2.connect(DSN)  # opened: owner-gone error x3 by work; left-open error x3 by work
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / %s", [job])
    connection.close()


threading.excepthook = lambda crash: crashes.append(crash.exc_value)
threads = [threading.Thread(target=work, args=(0,)) for _ in range(3)]
for thread in threads:
    thread.start()  # spawned: work
for thread in threads:
    thread.join()
time.sleep(1.2)
print(len(crashes), "crashes")
