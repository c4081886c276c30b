"""A script leaves through sys.exit as soon as a check fails, past the line that would have closed its files.

source: bleachbit/bleachbit#1877
exit: 3
"""

import sqlite3
import sys

profiles = {}


def check(name):
    profiles[name] = sqlite3.connect(f"{name}.sqlite")  # opened: left-open error x3
    return profiles[name].execute("PRAGMA quick_check").fetchone()[0] == "ok"


for name in ("cookies", "history", "places"):
    if not check(name) or len(profiles) > 2:
        sys.exit(3)
for connection in profiles.values():
    connection.close()
