"""The same migration dies of the same exception, but closes on its way out.

source: ahopkins/mayim#58
exit: 1
stderr: yes
"""

import sqlite3
from contextlib import ExitStack, closing


def migrate(names):
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(sqlite3.connect(f"{name}.db"))) for name in names]
        for connection in opened:
            connection.execute("CREATE TABLE version (number)")
        opened[-1].execute("SELECT number FROM versions")


migrate(["users", "cars", "orders"])
