"""A with block around sqlite3.connect commits but does not close; only the collector does, some time later.

source: python/cpython#135333
stderr: yes
"""

import gc
import sqlite3


def write(number):
    # opened: collected-open warning x3 since 3.11; collected-open info x3 before 3.11
    with sqlite3.connect("app.db") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (number)")
        connection.execute("INSERT INTO entry VALUES (?)", [number])


for number in range(3):
    write(number)
    gc.collect()
