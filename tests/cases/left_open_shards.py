"""A cache is rebuilt with new files and the old sqlite3 connections are only forgotten, never closed.

source: ecmwf/earthkit-data#1152
stderr: yes
"""

import sqlite3

shards = {}


def open_shard(number):
    connection = sqlite3.connect(f"shard{number}.db")  # opened: left-open error x5
    connection.execute("CREATE TABLE IF NOT EXISTS entry (name, value)")
    connection.commit()
    shards[number] = connection


for number in range(5):
    open_shard(number)
