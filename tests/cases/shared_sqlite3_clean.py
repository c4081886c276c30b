"""The same threads share the connection under a lock.

source: y-crdt/ypy-websocket#61
settings: EVERY=0.1
"""

import sqlite3
import threading

connection = sqlite3.connect("players.db", check_same_thread=False)
together = threading.Barrier(2)
turn = threading.Lock()
SLOW = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
    SELECT count(*) FROM n
"""


def count():
    together.wait(20)
    with turn:
        connection.execute(SLOW).fetchone()


threads = [threading.Thread(target=count) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connection.close()
