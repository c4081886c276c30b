"""A helper opens a connection for every query, and the program asks without end.

source: steveyeow/Feynman#145
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
stderr: yes
"""

import os
import time
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def query(sql, *values):
    # opened: connect-storm warning x10+
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()


end = time.monotonic() + 2.5
while time.monotonic() < end:
    query("SELECT %s", 1)
    time.sleep(0.01)
