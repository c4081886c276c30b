"""Each user's report runs in a thread of its own, which parks its connection in a shared list and never
closes it.

source: openedx/xqueue#45
needs: postgres
stderr: yes
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connections = []


def report(user):
    connection = psycopg2.connect(DSN)  # opened: left-open error x5 by report
    connections.append(connection)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [user])


threads = [threading.Thread(target=report, args=(user,)) for user in range(5)]
for thread in threads:
    thread.start()  # spawned: report
for thread in threads:
    thread.join()
