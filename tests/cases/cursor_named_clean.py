"""The same export reads through a client-side cursor, which holds nothing once it has executed.

source: psycopg/psycopg2#1100
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
export = connection.cursor()
export.execute("SELECT * FROM generate_series(1, 1000)")
print(export.fetchmany(10))
with connection.cursor() as cursor:
    for number in range(12):
        cursor.execute("SELECT %s", [number])
        time.sleep(0.1)
connection.close()
