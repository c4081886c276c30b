"""The audit trail opens a connection of its own while the order's connection is still held.

source: mperham/connection_pool#14
needs: postgres
stderr: yes
"""

import os
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def audit(order):
    # opened: second-while-holding warning x3
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [f"order {order}"])


def place(order):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [order])
        audit(order)


for order in range(3):
    place(order)
