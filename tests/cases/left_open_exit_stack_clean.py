"""The stack that pop_all gave is closed by the one who asked for it.

source: xraypy/XrayDB#32
"""

import sqlite3
from contextlib import ExitStack, closing


def open_all(names):
    with ExitStack() as stack:
        for name in names:
            connection = sqlite3.connect(f"{name}.db")
            stack.enter_context(closing(connection))
            connection.execute("CREATE TABLE line (energy)")
        return stack.pop_all()


with open_all(["Cu", "Fe", "Zn"]):
    print("ready")
