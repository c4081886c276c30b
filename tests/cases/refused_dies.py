"""The main thread is refused and the process dies of it; the answer must be out before that.

source: boostorg/website-v2#590
needs: postgres, limit=3
exit: 1
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)


def serve():
    connection = psycopg2.connect(DSN)  # opened: refused error x3 of 3 by serve
    connection.autocommit = True
    connected.release()
    threading.Event().wait()


for _ in range(3):
    threading.Thread(target=serve, daemon=True).start()  # spawned: serve
for _ in range(3):
    connected.acquire(timeout=20)
psycopg2.connect(DSN)
