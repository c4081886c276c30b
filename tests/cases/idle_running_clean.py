"""One statement in a transaction runs for long: that is work, not idleness.

source: pgbouncer/pgbouncer#22
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
with connection, connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    cursor.execute("SELECT pg_sleep(1.3)")
connection.close()
