"""With a NullPool every engine.connect() is a real connection, and these are kept.

source: LCOGT/banzai#280
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
frames = []


def reduce(frame):
    connection = engine.connect()  # opened: left-open error x3 by reduce
    frames.append(connection)
    connection.execute(text("SELECT 1"))
    connection.commit()


threads = [threading.Thread(target=reduce, args=(frame,)) for frame in range(3)]
for thread in threads:
    thread.start()  # spawned: reduce
for thread in threads:
    thread.join()
