"""The same threads as elsewhere, but their line says that it is meant so.

source: r-spade/ormah#83
needs: postgres
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connections = []


def maintain():
    connection = psycopg2.connect(DSN)  # whoholds: ignore[left-open]
    connections.append(connection)


threads = [threading.Thread(target=maintain) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
