"""Every file's own close method is registered with atexit.

source: thp/urlwatch#865
stderr: yes
"""

import atexit
import sqlite3

for name in ("news", "jobs", "rooms", "cars", "bikes"):
    connection = sqlite3.connect(f"{name}.db")
    connection.execute("CREATE TABLE snapshot (url, body)")
    atexit.register(connection.close)
