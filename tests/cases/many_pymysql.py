"""A thread for each request of a PyMySQL service opens a connection of its own.

source: coleifer/peewee#1881
needs: mariadb
settings: TOO_MANY=10
"""

import os
import threading
from contextlib import closing
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])
everyone = threading.Barrier(12)


def connect():
    # opened: too-many-at-once warning x12 by handle
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


def handle(request):
    with closing(connect()) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [request])


threads = [threading.Thread(target=handle, args=(request,)) for request in range(12)]
for thread in threads:
    thread.start()  # spawned: handle
for thread in threads:
    thread.join()
