"""Connections are detached from their engine's pool, after which nobody will bring them home.

source: cloudify-cosmo/cloudify-manager#3336
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))
monitors = []


def watch(node):
    connection = engine.connect()  # opened: left-open error x3 by watch
    connection.detach()
    monitors.append(connection)
    connection.execute(text("SELECT 1"))
    connection.commit()


threads = [threading.Thread(target=watch, args=(node,)) for node in range(3)]
for thread in threads:
    thread.start()  # spawned: watch
for thread in threads:
    thread.join()
