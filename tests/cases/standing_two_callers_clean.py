"""One helper makes the reader's connection and the writer's, for two modules that keep theirs for the program's life.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg2

DSN = os.environ["DSN"]


def connect():
    connection = psycopg2.connect(DSN)  # opened: left-open info x2
    connection.autocommit = True
    return connection


reader = connect()
writer = connect()
time.sleep(1.2)
