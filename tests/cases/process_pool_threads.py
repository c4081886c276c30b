"""Each process of a ProcessPoolExecutor starts threads, and every thread leaves a connection behind.

source: emissions-api/emissions-api#237
needs: postgres
"""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
connections = []


def read(product):
    connection = psycopg2.connect(DSN)  # opened: left-open error x6 by read
    connections.append(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [product])


def work(day, everyone):
    threads = [threading.Thread(target=read, args=(product,)) for product in range(3)]
    for thread in threads:
        thread.start()  # spawned: read
    for thread in threads:
        thread.join()
    everyone.wait(20)


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as executor:
        everyone = manager.Barrier(2)
        list(executor.map(work, range(2), [everyone, everyone]))
