"""Jobs of an executor open a connection each and keep it for a report; its workers end with two each in the list.

source: dimagi/open-chat-studio#2553
needs: postgres
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
connections = []
everyone = threading.Barrier(2)


def work(number):
    connection = psycopg2.connect(DSN)  # opened: left-open error x4 by work
    connections.append(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
    everyone.wait(20)  # so that each worker gets every second job


with ThreadPoolExecutor(2) as executor:
    list(executor.map(work, range(4)))  # spawned: work
