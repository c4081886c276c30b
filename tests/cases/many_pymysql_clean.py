"""The same requests are served by an executor of three workers.

source: coleifer/peewee#1881
needs: mariadb
settings: TOO_MANY=10
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])


def connect():
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


def handle(request):
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [request])


with ThreadPoolExecutor(3) as executor:
    list(executor.map(handle, range(12)))
