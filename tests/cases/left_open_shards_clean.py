"""The same cache closes all its files when the work is done.

source: ecmwf/earthkit-data#1152
stderr: yes
"""

import sqlite3

shards = {}


def open_shard(number):
    connection = sqlite3.connect(f"shard{number}.db")
    connection.execute("CREATE TABLE IF NOT EXISTS entry (name, value)")
    connection.commit()
    shards[number] = connection


try:
    for number in range(5):
        open_shard(number)
finally:
    for connection in shards.values():
        connection.close()
