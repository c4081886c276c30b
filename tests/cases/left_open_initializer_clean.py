"""The same initializer keeps the connection in a threading.local, so it goes when its worker does.

source: dimagi/open-chat-studio#2553
needs: postgres
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
mine = threading.local()
everyone = threading.Barrier(3)


def connect():
    mine.connection = psycopg2.connect(DSN)


def work(number):
    everyone.wait(20)
    with mine.connection as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])


with ThreadPoolExecutor(3, initializer=connect) as executor:
    list(executor.map(work, range(9)))
