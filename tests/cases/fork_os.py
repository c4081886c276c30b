"""A server connects, forks, and its child goes on asking on the parent's socket.

source: wooey/Wooey#31
needs: postgres
settings: EVERY=0.1
"""

import os
import time

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])  # opened: shared-across-fork error x1
connection.autocommit = True


def serve():
    for number in range(8):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
        time.sleep(0.1)


pid = os.fork()
if pid == 0:
    serve()
    os._exit(0)
os.waitpid(pid, 0)
