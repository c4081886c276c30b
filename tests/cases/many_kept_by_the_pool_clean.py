"""A pool without an upper bound keeps 22 connections, as its setting says.

source: WebwareForPython/DBUtils#50
needs: postgres
"""

import os

import psycopg2
from dbutils.pooled_db import PooledDB

pool = PooledDB(psycopg2, mincached=22, dsn=os.environ["DSN"])
pool.close()
