"""A peak made of two parts: the job's own connection, and one in each of the threads that it starts.

source: onyx-dot-app/onyx#5710
needs: postgres
settings: TOO_MANY=10
"""

import os
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(11)


def index(document):
    # opened: too-many-at-once warning x12 of 11 by index
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [document])


with closing(psycopg2.connect(DSN)) as job, job, job.cursor() as cursor:  # part: too-many-at-once x1
    cursor.execute("SELECT n FROM generate_series(1, 11) n")
    threads = [threading.Thread(target=index, args=row) for row in cursor.fetchall()]
    for thread in threads:
        thread.start()  # spawned: index
    for thread in threads:
        thread.join()
