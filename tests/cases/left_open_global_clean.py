"""A command-line tool opens its one connection when it is imported and keeps it until the process ends.

source: psycopg/psycopg2#663
needs: postgres
stderr: yes
"""

import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: left-open info x1
connection.autocommit = True


def count(words):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM unnest(%s) word", [words])
        return cursor.fetchone()[0]


print(count(["a", "b"]))
