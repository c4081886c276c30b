"""An INSERT opens a transaction that is committed only after the slow part, and every other writer finds
the database locked.

source: LearningCircuit/local-deep-research#569
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import sqlite3
import time

connection = sqlite3.connect("milestones.db")  # opened: idle-in-transaction warning x1
connection.execute("CREATE TABLE milestone (text)")
connection.execute("INSERT INTO milestone VALUES ('started')")
time.sleep(1.4)
connection.execute("INSERT INTO milestone VALUES ('finished')")
connection.commit()
connection.close()
