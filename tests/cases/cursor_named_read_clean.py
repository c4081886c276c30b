"""Exports read server-side cursors row by row or in parts, and write a file in between: each is read to its end.

source: psycopg/psycopg2#709
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import threading
import time
from contextlib import closing

import psycopg
import psycopg2

DSN = os.environ["DSN"]
ROWS = "SELECT generate_series(1, 45)"


def row_by_row(library):
    with closing(library.connect(DSN)) as connection, connection.cursor("export") as cursor:
        cursor.itersize = 20
        cursor.execute(ROWS)
        for _ in cursor:
            time.sleep(0.03)


def in_parts(library):
    with closing(library.connect(DSN)) as connection, connection.cursor("export") as cursor:
        cursor.execute(ROWS)
        while cursor.fetchmany(5):
            time.sleep(0.13)


threads = [
    threading.Thread(target=export, args=(library,))
    for export in (row_by_row, in_parts)
    for library in (psycopg, psycopg2)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
