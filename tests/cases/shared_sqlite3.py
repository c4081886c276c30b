"""check_same_thread=False silences sqlite3, and now two threads run statements on one connection at once.

source: z3ath/kf2-magicked-admin#17
settings: EVERY=0.1
"""

import sqlite3
import threading

connection = sqlite3.connect("players.db", check_same_thread=False)  # opened: shared-at-once warning x2
together = threading.Barrier(2)
SLOW = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
    SELECT count(*) FROM n
"""


def count():
    together.wait(20)
    connection.execute(SLOW).fetchone()


threads = [threading.Thread(target=count) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connection.close()
