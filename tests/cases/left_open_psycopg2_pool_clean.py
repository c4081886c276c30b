"""The same handlers give back in a finally clause; the pool itself stays open, with its connections at home.

source: addok/addok#327
needs: postgres
"""

import os
import threading

from psycopg2.errors import DivisionByZero
from psycopg2.pool import ThreadedConnectionPool

pool = ThreadedConnectionPool(2, 5, os.environ["DSN"])


def search(number):
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [number % 2])
    except DivisionByZero as error:
        print(type(error).__name__)
    finally:
        pool.putconn(connection)


for number in range(6):
    thread = threading.Thread(target=search, args=(number,))
    thread.start()
    thread.join()
