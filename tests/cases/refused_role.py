"""One thread per user, until the role may open no more connections.

source: psycopg/psycopg2#663
needs: postgres, limit=4
stderr: yes
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def serve(user):
    connection = psycopg2.connect(DSN)  # opened: refused error x4 of 4 by serve
    try:
        connected.release()
        done.wait(20)
    finally:
        connection.close()


threads = [threading.Thread(target=serve, args=(user,)) for user in range(4)]
for thread in threads:
    thread.start()  # spawned: serve
for _ in threads:
    connected.acquire(timeout=20)
try:
    psycopg2.connect(DSN).close()
except psycopg2.OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
