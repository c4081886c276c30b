"""Each INSERT is a transaction of its own.

source: LearningCircuit/local-deep-research#569
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import sqlite3
import time

connection = sqlite3.connect("milestones.db")
with connection:
    connection.execute("CREATE TABLE milestone (text)")
    connection.execute("INSERT INTO milestone VALUES ('started')")
time.sleep(1.2)
with connection:
    connection.execute("INSERT INTO milestone VALUES ('finished')")
connection.close()
