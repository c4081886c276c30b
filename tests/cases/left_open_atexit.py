"""Every file's close is registered with atexit through a lambda that sees only the last connection.

source: thp/urlwatch#865
"""

import atexit
import sqlite3

snapshots = {}
for name in ("news", "jobs", "rooms", "cars", "bikes"):
    connection = sqlite3.connect(f"{name}.db")  # opened: left-open error x4
    connection.execute("CREATE TABLE snapshot (url, body)")
    snapshots[name] = connection
    atexit.register(lambda: connection.close())  # noqa: B023, PLW0108 (the mistake)
