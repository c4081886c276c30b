"""The first job on each worker opens the worker's connection; the job is long over, but its worker is
still there.

source: coleifer/huey#291
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
mine = threading.local()
everyone = threading.Barrier(3)


def work(number):
    if not hasattr(mine, "connection"):
        everyone.wait(20)
        mine.connection = psycopg2.connect(DSN)
        mine.connection.autocommit = True
    with mine.connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])


with ThreadPoolExecutor(3) as executor:
    list(executor.map(work, range(3)))
    time.sleep(1.2)
    list(executor.map(work, range(6)))
