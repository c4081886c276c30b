"""A reader stops in the middle of a result and keeps its cursor: without WAL nobody can commit.

source: mem0ai/mem0#7196
"""

import sqlite3

setup = sqlite3.connect("memory.db")
setup.execute("CREATE TABLE history (event)")
setup.executemany("INSERT INTO history VALUES (?)", [(number,) for number in range(100)])
setup.commit()
setup.close()

reader = sqlite3.connect("memory.db")  # opened: locked error x1
newest = reader.execute("SELECT event FROM history ORDER BY rowid")
print(newest.fetchone())
writer = sqlite3.connect("memory.db", timeout=0.05)
writer.execute("INSERT INTO history VALUES (100)")
try:
    writer.commit()
except sqlite3.OperationalError as error:
    print(error)
writer.rollback()
writer.close()
newest.close()
reader.close()
