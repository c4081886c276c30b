"""Two threads update the same rows in different orders; PostgreSQL ends one of them.

source: zulip/zulip#19054
needs: postgres
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
both = threading.Barrier(2)


def mark_read(*messages):
    connection = psycopg2.connect(DSN)  # opened: locked error x1 by mark_read
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE deadlock_messages SET read = true WHERE id = %s", [messages[0]])
            both.wait(20)
            cursor.execute("UPDATE deadlock_messages SET read = true WHERE id = %s", [messages[1]])
    except psycopg2.errors.DeadlockDetected as error:
        print(error.pgcode)
    finally:
        connection.close()


setup = psycopg2.connect(DSN)
with setup, setup.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS deadlock_messages")
    cursor.execute("CREATE TABLE deadlock_messages AS SELECT id, false AS read FROM generate_series(1, 2) AS id")
threads = [threading.Thread(target=mark_read, args=messages) for messages in ((1, 2), (2, 1))]
for thread in threads:
    thread.start()  # spawned: mark_read
for thread in threads:
    thread.join()
with setup, setup.cursor() as cursor:
    cursor.execute("DROP TABLE deadlock_messages")
setup.close()
