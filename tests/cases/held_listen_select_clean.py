"""Worker threads LISTEN in turns with psycopg2: each waits in select() on the connection of its second round.

source: malthe/pq#41
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import select
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def listen(seconds):
    with closing(psycopg2.connect(DSN)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("LISTEN jobs")
        if select.select([connection], [], [], seconds)[0]:
            connection.poll()


listen(0.1)
listen(1.4)
