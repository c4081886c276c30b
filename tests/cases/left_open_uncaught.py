"""A migration opens one file after the other and dies of an exception before its closing loop.

source: ahopkins/mayim#58
exit: 1
"""

import sqlite3


def migrate(names):
    opened = []
    for name in names:
        connection = sqlite3.connect(f"{name}.db")  # opened: left-open error x3
        connection.execute("CREATE TABLE version (number)")
        opened.append(connection)
    opened[-1].execute("SELECT number FROM versions")
    for connection in opened:
        connection.close()


migrate(["users", "cars", "orders"])
