"""One helper makes the connections of two callers, and each of them calls it twice and keeps both.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg2

DSN = os.environ["DSN"]
kept = []


def connect():
    connection = psycopg2.connect(DSN)  # opened: held-too-long warning x4; left-open error x4
    connection.autocommit = True
    return connection


for _ in range(2):
    kept.append(connect())
    kept.append(connect())
time.sleep(1.2)
