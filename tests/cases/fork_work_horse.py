"""A worker forks a child for each job; the child lives for milliseconds, and leaves by os._exit.

source: rq/django-rq#123
needs: postgres
"""

import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: shared-across-fork error x3
connection.autocommit = True

for job in range(3):
    pid = os.fork()
    if pid == 0:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [job])
        os._exit(0)
    os.waitpid(pid, 0)
