"""Connections are collected in an ExitStack whose pop_all moves the duty to close to nobody.

source: xraypy/XrayDB#32
"""

import sqlite3
from contextlib import ExitStack, closing


def open_all(names):
    with ExitStack() as stack:
        for name in names:
            connection = sqlite3.connect(f"{name}.db")  # opened: left-open error x3
            stack.enter_context(closing(connection))
            connection.execute("CREATE TABLE line (energy)")
        return stack.pop_all()


elements = open_all(["Cu", "Fe", "Zn"])
print("ready")
