"""A bot drops its one connection when it has gone stale and opens a new one; the last is open when the
bot stops: never were two of them open at once.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.4 OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]


class Store:
    connection = None

    def reconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = psycopg2.connect(DSN)  # opened: left-open info x1 by work
        self.connection.autocommit = True

    def ask(self):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")


store = Store()
for _ in range(3):
    work = threading.Thread(target=store.reconnect)
    work.start()  # spawned: work
    work.join()
    time.sleep(0.7)
    store.ask()
time.sleep(0.7)
