"""PgBouncer lets in no more clients than max_client_conn says.

source: milwil-2/climb-elo#183
needs: pgbouncer, max_client_conn=4
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def climb():
    connection = psycopg2.connect(DSN)  # opened: refused error x4 of 4 by climb
    connected.release()
    done.wait(20)
    connection.close()


threads = [threading.Thread(target=climb) for _ in range(4)]
for thread in threads:
    thread.start()  # spawned: climb
for _ in threads:
    connected.acquire(timeout=20)
try:
    psycopg2.connect(DSN).close()
except psycopg2.OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
