"""A cache keeps one connection per tenant, and tenants never stop coming.

source: DataDog/dd-agent#2515
needs: postgres
settings: EVERY=0.05
"""

import atexit
import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
cache = {}


def close_all():
    for connection in cache.values():
        connection.close()


def handle(tenant):
    if tenant not in cache:
        cache[tenant] = psycopg2.connect(DSN)  # opened: growing warning x12 by handle
    with cache[tenant] as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [tenant])


atexit.register(close_all)
for number in range(12):
    thread = threading.Thread(target=handle, args=(f"tenant {number}",))
    thread.start()  # spawned: handle
    thread.join()
    time.sleep(0.24)
