"""Upload threads keep their PyMySQL connections in a list for a later that never comes.

source: Clinical-Genomics/cg#1046
needs: mariadb
"""

import os
import threading
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])
uploads = []


def connect():
    # opened: left-open error x4 by upload
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


def upload(number):
    connection = connect()
    uploads.append((number, connection))
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        print(cursor.fetchone())


threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()  # spawned: upload
for thread in threads:
    thread.join()
