"""An export stops early and leaves its named cursor, and with it a portal on the server, open for the
rest of the session.

source: psycopg/psycopg2#1100
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
export = connection.cursor("export")  # opened: cursor-left-open warning x1
export.execute("SELECT * FROM generate_series(1, 100000)")
print(export.fetchmany(10))
with connection.cursor() as cursor:
    for number in range(14):
        cursor.execute("SELECT %s", [number])
        time.sleep(0.1)
export.close()
connection.close()
