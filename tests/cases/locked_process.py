"""A backup in another process has the file; the crawler cannot store its rows, at the line that says so.

source: medialab/minet#867
"""

import sqlite3
import subprocess
import sys

BACKUP = """
import sqlite3, sys
connection = sqlite3.connect("jobs.db", isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("begun", flush=True)
sys.stdin.read()
"""

setup = sqlite3.connect("jobs.db")
setup.execute("CREATE TABLE jobs (url)")
setup.commit()
setup.close()
backup = subprocess.Popen([sys.executable, "-S", "-c", BACKUP], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
backup.stdout.readline()
connection = sqlite3.connect("jobs.db", timeout=0.05)
try:
    # opened: locked error x1
    connection.executemany("INSERT INTO jobs VALUES (?)", [("https://example.org",)])
except sqlite3.OperationalError as error:
    print(error)
connection.close()
backup.communicate()
