"""A pool without an upper bound keeps two connections, and lends twenty-two at once.

source: WebwareForPython/DBUtils#50
needs: postgres
"""

import os

import psycopg2
from dbutils.pooled_db import PooledDB

pool = PooledDB(psycopg2, mincached=2, maxcached=2, dsn=os.environ["DSN"])  # part: too-many-at-once x2
lent = [pool.connection() for _ in range(22)]  # opened: too-many-at-once warning x22 of 20
for connection in lent:
    connection.close()
pool.close()
