"""The audit trail opens a connection of its own while the order's connection is still held.

source: mperham/connection_pool#14
needs: postgres
stderr: yes
"""

import os
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def audit(order):
    # opened: second-while-holding warning x3 by place
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [f"order {order}"])


def place(order):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [order])
        audit(order)


threads = [threading.Thread(target=place, args=(order,)) for order in range(3)]
for thread in threads:
    thread.start()  # spawned: place
for thread in threads:
    thread.join()
