"""Each tenant has a file of its own and one thread, which writes its audit trail while it holds the order.

source: openwallet-foundation/acapy#2104
"""

import sqlite3
import threading
from contextlib import closing


def audit(tenant, order):
    with closing(sqlite3.connect(f"{tenant}.db")) as connection:
        connection.execute("SELECT ?", [order]).fetchall()


def serve(tenant):
    with closing(sqlite3.connect(f"{tenant}.db")) as connection:
        for order in range(3):
            connection.execute("SELECT ?", [order]).fetchall()
            audit(tenant, order)


threads = [threading.Thread(target=serve, args=(tenant,)) for tenant in ("ann", "bob", "eve")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
