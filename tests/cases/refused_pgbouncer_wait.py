"""Two transactions hold PgBouncer's two server connections, and a third client's statement waits until
query_wait_timeout.

source: TheRacetrack/racetrack#396
needs: pgbouncer, pool_mode=transaction default_pool_size=2 query_wait_timeout=1
"""

import os
import threading

import psycopg

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def deploy(job):
    with psycopg.connect(DSN) as connection:  # opened: refused error x3 of 3 by deploy
        try:
            connection.execute("SELECT %s", [job])
        except psycopg.Error as error:
            print(error)
            done.set()
        connected.release()
        done.wait(20)


for job in range(3):
    threading.Thread(target=deploy, args=(job,)).start()  # spawned: deploy
    if job < 2:
        connected.acquire(timeout=20)
