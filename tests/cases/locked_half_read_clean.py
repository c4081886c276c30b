"""The commit is tried again until the reader has read its result to the end.

source: mem0ai/mem0#7196
"""

import sqlite3

setup = sqlite3.connect("memory.db")
setup.execute("CREATE TABLE history (event)")
setup.executemany("INSERT INTO history VALUES (?)", [(number,) for number in range(100)])
setup.commit()
setup.close()

reader = sqlite3.connect("memory.db")
events = reader.execute("SELECT event FROM history ORDER BY rowid")
print(events.fetchone())
writer = sqlite3.connect("memory.db", timeout=0)
writer.execute("INSERT INTO history VALUES (100)")
for _ in range(3):
    try:
        writer.commit()
    except sqlite3.OperationalError as error:
        print(error)
        events.fetchall()
    else:
        break
for number in range(10):
    writer.execute(f"SELECT {number}").fetchall()
writer.close()
reader.close()
