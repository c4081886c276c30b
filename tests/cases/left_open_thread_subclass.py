"""Workers are subclasses of Thread that connect in run() and keep the connection on themselves.

source: opentraffic/datastore#23
needs: postgres
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]


class Worker(threading.Thread):
    def __init__(self, segment):
        super().__init__()
        self.segment = segment

    def run(self):
        self.connection = psycopg2.connect(DSN)  # opened: left-open error x3 by worker
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT %s", [self.segment])


workers = [Worker(segment) for segment in range(3)]
for worker in workers:
    worker.start()  # spawned: worker
for worker in workers:
    worker.join()
