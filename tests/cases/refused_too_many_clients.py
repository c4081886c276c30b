"""The whole server is full: sorry, too many clients already.

source: gregsadetsky/tps#21
needs: postgres, max_connections=6 reserved=0
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def answer(call):
    connection = psycopg2.connect(DSN)  # opened: refused error x6 of 6 by answer
    connected.release()
    done.wait(20)
    connection.close()


threads = [threading.Thread(target=answer, args=(call,)) for call in range(6)]
for thread in threads:
    thread.start()  # spawned: answer
for _ in threads:
    connected.acquire(timeout=20)
try:
    psycopg2.connect(DSN).close()
except psycopg2.OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
