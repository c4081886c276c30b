"""The same watcher runs in autocommit mode.

source: psycopg/psycopg#684
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import os
import time

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
connection.autocommit = True


def read():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class")
        return cursor.fetchone()[0]


read()
time.sleep(1.2)
read()
connection.close()
