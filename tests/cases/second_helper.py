"""One helper lends all connections, and a function that holds one calls another that asks for the next.

source: aio-libs/aiopg#127
needs: postgres
"""

import os
import threading
from contextlib import contextmanager

import psycopg2

DSN = os.environ["DSN"]


@contextmanager
def database():
    connection = psycopg2.connect(DSN)  # opened: second-while-holding warning x3 by place
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def price(order):
    with database() as cursor:
        cursor.execute("SELECT %s * 10", [order])
        return cursor.fetchone()[0]


def place(order):
    with database() as cursor:
        cursor.execute("SELECT %s", [price(order)])


threads = [threading.Thread(target=place, args=(order,)) for order in range(3)]
for thread in threads:
    thread.start()  # spawned: place
for thread in threads:
    thread.join()
