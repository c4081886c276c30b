"""Three connections are made at the start, and each is handed to one worker that asks once and keeps it.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.6 EVERY=0.1
"""

import os
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
connections = []
over = threading.Event()


def connect():
    connection = psycopg2.connect(DSN)  # opened: held-too-long warning x3; given-back info x3
    connection.autocommit = True
    connections.append(connection)


def work(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    over.wait(20)


for _ in range(3):
    connect()
threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
for thread in threads:
    thread.start()
time.sleep(1.5)
over.set()
for thread in threads:
    thread.join()
for connection in connections:
    connection.close()
