"""A pool opens its 44 connections slowly, so that a look comes before its constructor has returned.

source: WebwareForPython/DBUtils#50
needs: postgres
"""

import os
import time

import psycopg2
from dbutils.pooled_db import PooledDB


def connect(dsn):
    """Connect over a slow network."""
    time.sleep(0.05)
    return psycopg2.connect(dsn)


connect.dbapi, connect.threadsafety = psycopg2, psycopg2.threadsafety
pool = PooledDB(connect, mincached=44, dsn=os.environ["DSN"])
pool.close()
