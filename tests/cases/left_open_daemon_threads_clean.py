"""Three background threads serve until the process ends, each with the one connection of its life.

source: opentraffic/datastore#23
needs: postgres
"""

import os
import queue
import threading

import psycopg2

DSN = os.environ["DSN"]
jobs = queue.Queue()
everyone = threading.Barrier(3)


def serve():
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    everyone.wait(20)
    while True:
        number = jobs.get()
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [number])
        jobs.task_done()


for _ in range(3):
    threading.Thread(target=serve, daemon=True).start()
for number in range(9):
    jobs.put(number)
jobs.join()
