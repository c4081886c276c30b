"""A helper asks for a second connection of a pool whose only one its caller holds, and is refused at once.

source: aio-libs/aiopg#127
needs: postgres
"""

import os
from contextlib import closing

import psycopg2
from dbutils import pooled_db

pool = pooled_db.PooledDB(psycopg2, maxconnections=1, dsn=os.environ["DSN"])
refused = getattr(pooled_db, "TooManyConnectionsError", None) or pooled_db.TooManyConnections


def audit():
    try:
        pool.connection().close()  # opened: second-while-holding warning x1
    except refused:
        print("too many")


with closing(pool.connection()):  # opened: refused error x1
    audit()
pool.close()
