"""A client and its session point at each other, so a dropped client's connection waits for the collector.

source: psycopg/psycopg2#1548
needs: postgres
"""

import gc
import os

import psycopg2

DSN = os.environ["DSN"]


class Session:
    def __init__(self, client):
        self.client = client
        self.connection = psycopg2.connect(DSN)  # opened: collected-open warning x4


class Client:
    def __init__(self):
        self.session = Session(self)

    def ask(self):
        with self.session.connection as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")


for _ in range(4):
    Client().ask()
    gc.collect()
