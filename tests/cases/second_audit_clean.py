"""The audit trail is written on the order's own connection.

source: mperham/connection_pool#14
needs: postgres
stderr: yes
"""

import os
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def audit(order, connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [f"order {order}"])


def place(order):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [order])
        audit(order, connection)


for order in range(3):
    place(order)
