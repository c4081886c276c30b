"""A bot opens a new connection when its old one has gone stale, and the stale ones stay in a list of the sessions
that it had.

source: coleifer/peewee#829
needs: postgres
"""

import os

import psycopg2

DSN = os.environ["DSN"]
sessions = []


def reconnect():
    connection = psycopg2.connect(DSN)  # opened: left-open error x3
    connection.autocommit = True
    sessions.append(connection)


for _ in range(3):
    reconnect()
    with sessions[-1].cursor() as cursor:
        cursor.execute("SELECT 1")
