"""The same writer puts closing() around the connection.

source: python/cpython#135333
stderr: yes
"""

import gc
import sqlite3
from contextlib import closing


def write(number):
    with closing(sqlite3.connect("app.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (number)")
        connection.execute("INSERT INTO entry VALUES (?)", [number])


for number in range(3):
    write(number)
    gc.collect()
