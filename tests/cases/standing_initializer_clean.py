"""An executor's initializer gives each worker the one connection of its life; the workers are joined before the end.

source: dimagi/open-chat-studio#2553
needs: postgres
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
connections = {}
everyone = threading.Barrier(3)


def connect():
    connections[threading.get_ident()] = psycopg2.connect(DSN)  # opened: left-open info x3 by work


def work(number):
    everyone.wait(20)
    with connections[threading.get_ident()] as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])


with ThreadPoolExecutor(3, initializer=connect) as executor:
    list(executor.map(work, range(3)))  # spawned: work
