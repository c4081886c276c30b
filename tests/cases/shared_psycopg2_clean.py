"""The same threads take turns by a lock.

source: PyMySQL/PyMySQL#425
needs: postgres
settings: EVERY=0.1
stderr: yes
"""

import os
import threading

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
connection.autocommit = True
together = threading.Barrier(2)
turn = threading.Lock()


def ask(number):
    together.wait(20)
    with turn, connection.cursor() as cursor:
        cursor.execute("SELECT %s FROM pg_sleep(0.4)", [number])


threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connection.close()
