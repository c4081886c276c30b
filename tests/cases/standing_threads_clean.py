"""Three threads take orders from a queue, each with the one connection of its life, and are joined at the stop.

source: opentraffic/datastore#23
needs: postgres
"""

import os
import queue
import threading

import psycopg2

DSN = os.environ["DSN"]
orders = queue.Queue()
connections = {}
everyone = threading.Barrier(3)


def serve():
    connection = psycopg2.connect(DSN)  # opened: left-open info x3 by serve
    connection.autocommit = True
    connections[threading.get_ident()] = connection
    while (order := orders.get()) is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [order])
        everyone.wait(20)  # each thread gets every third order


threads = [threading.Thread(target=serve) for _ in range(3)]
for thread in threads:
    thread.start()  # spawned: serve
for order in range(9):
    orders.put(order)
for _ in threads:
    orders.put(None)
for thread in threads:
    thread.join()
