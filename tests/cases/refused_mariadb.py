"""MySQL answers 1040, too many connections, to the thread that comes last.

source: pwncollege/dojo#220
needs: mariadb, limit=10
"""

import os
import threading
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])
connected = threading.Semaphore(0)
done = threading.Event()


def connect():
    # opened: refused error x10 of 10 by solve
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


def solve():
    connection = connect()
    connected.release()
    done.wait(20)
    connection.close()


threads = [threading.Thread(target=solve) for _ in range(10)]
for thread in threads:
    thread.start()  # spawned: solve
for _ in threads:
    connected.acquire(timeout=20)
try:
    connect().close()
except pymysql.err.OperationalError as error:
    print(error)
done.set()
for thread in threads:
    thread.join()
