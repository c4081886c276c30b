"""A bot drops its one connection when it has gone stale and opens a new one; the last is open when the
bot stops: it is not the only one that its line opened, so its end is somebody's to see to.

source: coleifer/peewee#829
needs: postgres
"""

import os

import psycopg2

DSN = os.environ["DSN"]


class Store:
    connection = None

    def reconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = psycopg2.connect(DSN)  # opened: left-open error x1
        self.connection.autocommit = True

    def ask(self):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")


store = Store()
for _ in range(3):
    store.reconnect()
    store.ask()
