"""One thread per city, each with a connection of its own, all open while the slow part runs.

source: psycopg/psycopg2#663
needs: postgres
settings: TOO_MANY=10
stderr: yes
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
CITIES = [f"city {number}" for number in range(12)]
everyone = threading.Barrier(len(CITIES))


def load(city):
    connection = psycopg2.connect(DSN)  # opened: too-many-at-once warning x12 of 12 by load
    try:
        everyone.wait(20)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [city])
    finally:
        connection.close()


threads = []
for city in CITIES:
    thread = threading.Thread(target=load, args=(city,))
    thread.start()  # spawned: load
    threads.append(thread)
for thread in threads:
    thread.join()
