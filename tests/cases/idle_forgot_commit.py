"""A watcher only reads, so nobody thinks of a commit, and its session stays idle in transaction between
two rounds.

source: psycopg/psycopg#684
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
stderr: yes
"""

import os
import time

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: idle-in-transaction warning x1


def read():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class")
        return cursor.fetchone()[0]


read()
time.sleep(1.4)
read()
connection.close()
