"""While it holds a connection to the server, a sync job opens its local sqlite3 file: another database.

source: korma/Korma#130
needs: postgres
"""

import os
import sqlite3
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def remember(number):
    with closing(sqlite3.connect("local.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS seen (number)")
        connection.execute("INSERT INTO seen VALUES (?)", [number])


with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
    cursor.execute("SELECT n FROM generate_series(1, 3) n")
    for row in cursor.fetchall():
        remember(row[0])
