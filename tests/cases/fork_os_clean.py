"""The child closes nothing and uses nothing of its parent's, and opens a connection of its own.

source: wooey/Wooey#31
needs: postgres
settings: EVERY=0.1
"""

import os
import time

import psycopg2

DSN = os.environ["DSN"]
connection = psycopg2.connect(DSN)
connection.autocommit = True


def serve():
    own = psycopg2.connect(DSN)
    own.autocommit = True
    for number in range(5):
        with own.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
        time.sleep(0.1)
    own.close()


pid = os.fork()
if pid == 0:
    serve()
    os._exit(0)
os.waitpid(pid, 0)
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
connection.close()
