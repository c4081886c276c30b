"""The same uploads use PyMySQL's with, which does close.

source: Clinical-Genomics/cg#1046
needs: mariadb
"""

import os
import threading
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])


def connect():
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


def upload(number):
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        print(cursor.fetchone())


threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
