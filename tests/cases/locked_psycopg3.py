"""A checkpoint's transaction stays open; a migration with a lock time-out does not get its lock.

source: langchain-ai/langgraph#4723
needs: postgres
"""

import os

import psycopg

DSN = os.environ["DSN"]

with psycopg.connect(DSN) as setup:
    setup.execute("DROP TABLE IF EXISTS checkpoints")
    setup.execute("CREATE TABLE checkpoints (id integer)")

thread = psycopg.connect(DSN)  # opened: locked error x1
thread.execute("SELECT id FROM checkpoints")
migration = psycopg.connect(DSN, autocommit=True)
migration.execute("SET lock_timeout = '50ms'")
try:
    migration.execute("ALTER TABLE checkpoints ADD COLUMN at timestamptz")
except psycopg.errors.LockNotAvailable as error:
    print(error)
migration.close()
thread.rollback()
thread.execute("DROP TABLE checkpoints")
thread.commit()
thread.close()
