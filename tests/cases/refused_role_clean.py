"""The same users share the connections that the role is allowed.

source: psycopg/psycopg2#663
needs: postgres, limit=4
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def serve(user):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [user])


# Two of four: the server needs a moment to forget a connection that was closed.
with ThreadPoolExecutor(2) as executor:
    list(executor.map(serve, range(6)))
