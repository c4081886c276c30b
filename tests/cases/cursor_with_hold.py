"""A cursor WITH HOLD outlives its transaction, and the rows that nobody reads stay on the server.

source: psycopg/psycopg2#1100
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg
import psycopg2

dsn = os.environ["DSN"]
newer, older = psycopg.connect(dsn), psycopg2.connect(dsn)
first = newer.cursor("export", withhold=True)  # opened: cursor-left-open warning x1
second = older.cursor("export", withhold=True)  # opened: cursor-left-open warning x1
for export in (first, second):
    export.execute("SELECT * FROM generate_series(1, 100000)")
    print(export.fetchmany(10))
newer.commit()
older.commit()
for _ in range(14):
    time.sleep(0.1)
    newer.execute("SELECT 1")
    newer.commit()
    older.cursor().execute("SELECT 1")
    older.commit()
for export in (first, second):
    export.close()
newer.close()
older.close()
