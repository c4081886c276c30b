"""Handlers take from a ThreadedConnectionPool and give back only when all went well, which it did not.

source: addok/addok#327
needs: postgres
"""

import os
import threading

from psycopg2.errors import DivisionByZero
from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(1, 5, os.environ["DSN"])


def search(number):
    connection = pool.getconn()  # opened: left-open error x3 by search
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [number % 2])
        pool.putconn(connection)
    except DivisionByZero as error:
        print(type(error).__name__)


for number in range(6):
    thread = threading.Thread(target=search, args=(number,))
    thread.start()  # spawned: search
    thread.join()
