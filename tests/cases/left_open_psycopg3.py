"""Threads open psycopg 3 connections and hang them into a registry that outlives them.

source: psycopg/psycopg#684
needs: postgres
"""

import os
import threading

import psycopg

DSN = os.environ["DSN"]
registry = {}


def register(device):
    connection = psycopg.connect(DSN, autocommit=True)  # opened: left-open error x4 by register
    registry[device] = connection
    connection.execute("SELECT %s", [device])


threads = [threading.Thread(target=register, args=(device,)) for device in range(4)]
for thread in threads:
    thread.start()  # spawned: register
for thread in threads:
    thread.join()
