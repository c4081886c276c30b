"""Reports open a file, read it and let it go; nothing collects the connections before the process ends.

source: pyani-plus/pyani-plus#426
"""

import sqlite3


def report(name):
    # opened: collected-open warning x3 since 3.11; collected-open info x3 before 3.11
    connection = sqlite3.connect(f"{name}.db")
    connection.execute("CREATE TABLE genome (hash)")
    return connection.execute("SELECT count(*) FROM genome").fetchone()


for name in ("first", "second", "third"):
    report(name)
