"""Two clients of a queue ask whether there is work, again and again, and rest in between.

source: procrastinate-org/procrastinate#1134
needs: postgres
settings: HELD_TOO_LONG=0.7 EVERY=0.1
"""

import os
import time

import psycopg2

DSN = os.environ["DSN"]
clients = []


def connect():
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    clients.append(connection)


for _ in range(2):
    connect()
for _ in range(5):
    for client in clients:
        with client.cursor() as cursor:
            cursor.execute("SELECT 1")
    time.sleep(0.5)
time.sleep(0.45)
for client in clients:
    client.close()
