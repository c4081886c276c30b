"""A container is stopped with SIGTERM while connections of dead threads are still open; no atexit
handler will run.

source: CounterpartyXCP/counterparty-core#3322
needs: postgres
settings: OWNER_GONE=0.2 EVERY=0.1
exit: -15
"""

import os
import signal
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
connections = []


def request(number):
    connection = psycopg2.connect(DSN)  # opened: owner-gone error x2 by request; left-open error x2 by request
    connections.append(connection)


threads = [threading.Thread(target=request, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()  # spawned: request
for thread in threads:
    thread.join()
time.sleep(1.2)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
