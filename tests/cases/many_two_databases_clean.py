"""Eight connections to a server and eight to a file make sixteen, but to neither of them too many.

source: TensorBlock/forge#21
needs: postgres
settings: TOO_MANY=10
"""

import os
import sqlite3
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(8)


def copy(number):
    with closing(psycopg2.connect(DSN)) as server, closing(sqlite3.connect("copy.db")) as file:
        everyone.wait(20)
        with server.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
            file.execute("SELECT ?", cursor.fetchone())


threads = [threading.Thread(target=copy, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
