"""A connection that is only a local variable is closed by psycopg2 when the function returns.

source: psycopg/psycopg2#981
needs: postgres
"""

import os

import psycopg2

DSN = os.environ["DSN"]


def ask(number):
    connection = psycopg2.connect(DSN)  # opened: collected-open info x4
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        return cursor.fetchone()


for number in range(4):
    ask(number)
