"""The rows are locked in one order, and whoever is ended all the same runs its transaction again.

source: zulip/zulip#19054
needs: postgres
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
both = threading.Barrier(2)


def mark_read(*messages):
    connection = psycopg2.connect(DSN)
    while True:
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("UPDATE retried_messages SET read = true WHERE id = %s", [messages[0]])
                if not both.broken:
                    both.wait(20)
                    both.abort()  # the first attempt only
                cursor.execute("UPDATE retried_messages SET read = true WHERE id = %s", [messages[1]])
        except psycopg2.errors.DeadlockDetected as error:
            print(error.pgcode)
        except threading.BrokenBarrierError:
            pass
        else:
            break
    with connection, connection.cursor() as cursor:
        for number in range(10):
            cursor.execute(f"SELECT {number}")
    connection.close()


setup = psycopg2.connect(DSN)
with setup, setup.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS retried_messages")
    cursor.execute("CREATE TABLE retried_messages AS SELECT id, false AS read FROM generate_series(1, 2) AS id")
threads = [threading.Thread(target=mark_read, args=messages) for messages in ((1, 2), (2, 1))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with setup, setup.cursor() as cursor:
    cursor.execute("DROP TABLE retried_messages")
setup.close()
