"""The same threads, each of which closes what it opened, whatever happens.

source: openedx/xqueue#45
needs: postgres
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]


def report(user):
    connection = psycopg2.connect(DSN)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT %s", [user])
    finally:
        connection.close()


threads = [threading.Thread(target=report, args=(user,)) for user in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
