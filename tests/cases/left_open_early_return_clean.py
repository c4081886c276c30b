"""The same handler closes in a finally clause, whichever way it leaves.

source: fox-it/flow.record#210
needs: postgres
"""

import os

import psycopg2

DSN = os.environ["DSN"]
history = []


class Lookup:
    def __init__(self, name):
        self.name = name
        self.connection = psycopg2.connect(DSN)

    def find(self):
        try:
            with self.connection, self.connection.cursor() as cursor:
                cursor.execute("SELECT 1 WHERE %s <> 'nobody'", [self.name])
                return cursor.fetchone()
        finally:
            self.connection.close()


for name in ("ann", "ben", "eve", "nobody"):
    lookup = Lookup(name)
    history.append(lookup)
    lookup.find()
