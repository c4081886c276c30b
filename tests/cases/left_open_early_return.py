"""One path through a handler returns before the close, and the handler stays in a history list.

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
        self.connection = psycopg2.connect(DSN)  # opened: left-open error x2

    def find(self):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT 1 WHERE %s <> 'nobody'", [self.name])
            row = cursor.fetchone()
        if row is None:
            return None
        self.connection.close()
        return row


for name in ("ann", "nobody", "ben", "eve", "nobody"):
    lookup = Lookup(name)
    history.append(lookup)
    lookup.find()
