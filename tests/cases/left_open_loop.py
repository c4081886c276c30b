"""A loader connects once for each table in a plain loop and forgets every connection in a list.

source: boostorg/website-v2#590
needs: postgres
stderr: yes
"""

import os

import psycopg2

DSN = os.environ["DSN"]
TABLES = ["users", "cars", "orders", "invoices", "parts"]
sessions = []


def load(table):
    connection = psycopg2.connect(DSN)  # opened: left-open error x5
    sessions.append(connection)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [table])
        return cursor.fetchall()


for table in TABLES:
    load(table)
