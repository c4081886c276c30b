"""When the limit is reached five more threads come at once, and all of them are refused: one cause, one
finding.

source: openego/eGon-data#799
needs: postgres, limit=4
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def serve(user):
    try:
        connection = psycopg2.connect(DSN)  # opened: refused error x4 of 4 by serve
    except psycopg2.OperationalError:
        print("user", user, "was refused")
        return
    connected.release()
    done.wait(20)
    connection.close()


def start(users):
    threads = [threading.Thread(target=serve, args=(user,)) for user in users]
    for thread in threads:
        thread.start()  # spawned: serve
    return threads


first = start(range(4))
for _ in first:
    connected.acquire(timeout=20)
for thread in start(range(4, 9)):
    thread.join()
done.set()
for thread in first:
    thread.join()
