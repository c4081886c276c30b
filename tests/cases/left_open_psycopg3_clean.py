"""Threads use psycopg 3's with, which closes, unlike psycopg2's.

source: psycopg/psycopg#684
needs: postgres
"""

import os
import threading

import psycopg

DSN = os.environ["DSN"]


def register(device):
    with psycopg.connect(DSN) as connection:
        connection.execute("SELECT %s", [device])


threads = [threading.Thread(target=register, args=(device,)) for device in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
