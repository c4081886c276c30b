"""Tests of a tool build one in-memory database each, and none is ever closed.

source: sustainet-guardian/aletheia-probe#754
"""

import sqlite3

fixtures = []


def fresh():
    connection = sqlite3.connect(":memory:")  # opened: left-open error x3
    connection.execute("CREATE TABLE journal (title)")
    fixtures.append(connection)
    return connection


for title in ("Nature", "Science", "Cell"):
    fresh().execute("INSERT INTO journal VALUES (?)", [title])
