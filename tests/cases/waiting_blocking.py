"""A PooledDB that blocks: one thread forgets to close what it took, and the other threads wait for its place.

source: aio-libs/aiomysql#553
needs: postgres
settings: WAITING=0.5 EVERY=0.1 OWNER_GONE=60
"""

import os
import threading
import time

import psycopg2
from dbutils.pooled_db import PooledDB

pool = PooledDB(psycopg2, maxconnections=2, blocking=True, dsn=os.environ["DSN"])
kept = []


def forgets():
    kept.append(pool.connection())  # opened: waiting-too-long warning x3+ of 1 by forgetful


def query():
    connection = pool.connection()  # part: waiting-too-long x1 by query
    connection.cursor().execute("SELECT pg_sleep(0.8)")
    connection.close()


forgetful = threading.Thread(target=forgets)
forgetful.start()  # spawned: forgetful
forgetful.join()
threads = [threading.Thread(target=query) for _ in range(4)]
for thread in threads:
    thread.start()  # spawned: query
time.sleep(1.2)
kept.pop().close()
for thread in threads:
    thread.join()
pool.close()
