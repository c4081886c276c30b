"""The same loader, which closes each connection before it opens the next.

source: boostorg/website-v2#590
needs: postgres
stderr: yes
"""

import os
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
TABLES = ["users", "cars", "orders", "invoices", "parts"]


def load(table):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [table])
        return cursor.fetchall()


for table in TABLES:
    load(table)
