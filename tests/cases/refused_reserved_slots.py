"""Only the slots that are reserved for superusers are left, and an ordinary user is refused.

source: openaddresses/machine#613
needs: postgres, max_connections=8 reserved=3
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connected = threading.Semaphore(0)
done = threading.Event()


def work(batch):
    connection = psycopg2.connect(DSN)  # opened: refused error x5 of 5 by work
    connected.release()
    done.wait(20)
    connection.close()


threads = [threading.Thread(target=work, args=(batch,)) for batch in range(5)]
for thread in threads:
    thread.start()  # spawned: work
for _ in threads:
    connected.acquire(timeout=20)
try:
    psycopg2.connect(DSN).close()
except psycopg2.OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
