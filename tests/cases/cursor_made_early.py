"""A server cursor that is made before its transaction begins is open on the server from its `execute` on.

source: psycopg/psycopg#20
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg

connection = psycopg.connect(os.environ["DSN"])
export = connection.cursor("export")  # opened: cursor-left-open warning x1
for number in range(4):
    connection.execute("SELECT %s", [number])
    connection.commit()
    time.sleep(0.1)
export.execute("SELECT * FROM generate_series(1, 100000)")
print(export.fetchmany(10))
for number in range(14):
    connection.execute("SELECT %s", [number])
    time.sleep(0.1)
export.close()
connection.close()
