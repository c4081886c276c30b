"""The audit trail is written on the order's own connection.

source: mperham/connection_pool#14
needs: postgres
stderr: yes
"""

import os
import threading
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


threads = [threading.Thread(target=place, args=(order,)) for order in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
