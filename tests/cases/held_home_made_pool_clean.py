"""A queue of four connections is all the pool that a program has: its workers take one, ask, and put it back.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.6 EVERY=0.1
"""

import os
import queue
import threading
import time

import psycopg2

DSN = os.environ["DSN"]
free = queue.LifoQueue()


def fill():
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    free.put(connection)


def work(number):
    connection = free.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
    free.put(connection)


for _ in range(4):
    fill()
for number in range(3):
    thread = threading.Thread(target=work, args=(number,))
    thread.start()
    thread.join()
    time.sleep(0.25)
time.sleep(1.2)
while not free.empty():
    free.get().close()
