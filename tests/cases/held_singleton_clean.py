"""A desktop program's only connection lies idle while its user thinks.

source: bleachbit/bleachbit#1877
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import sqlite3
import time

connection = sqlite3.connect("settings.db")  # opened: left-open info x1
connection.execute("CREATE TABLE setting (name, value)")
time.sleep(1.2)
connection.execute("SELECT * FROM setting").fetchall()
