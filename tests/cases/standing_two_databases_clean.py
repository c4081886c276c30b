"""A service keeps one connection to the database of its shop and one to that of its statistics, and one helper makes
both.

source: elastic/apm-agent-python#1027
needs: postgres
settings: HELD_TOO_LONG=0.4 OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
connections = {}


def connect(database):
    connection = psycopg2.connect(DSN, dbname=database)  # opened: left-open info x2 by start
    connection.autocommit = True
    return connection


def start():
    for database in (DSN.rpartition("/")[2], "template1"):
        connections[database] = connect(database)


thread = threading.Thread(target=start)
thread.start()  # spawned: start
thread.join()
time.sleep(1.2)
