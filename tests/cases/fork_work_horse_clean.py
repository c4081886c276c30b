"""Each child opens a connection of its own, and closes it before os._exit.

source: rq/django-rq#123
needs: postgres
"""

import os
from contextlib import closing

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])

for job in range(3):
    pid = os.fork()
    if pid == 0:
        with closing(psycopg2.connect(os.environ["DSN"])) as own, own.cursor() as cursor:
            cursor.execute("SELECT %s", [job])
        os._exit(0)
    os.waitpid(pid, 0)

connection.close()
