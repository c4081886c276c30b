"""Exports that stop early leave their named cursors: the server closes each with its transaction, or its connection.

source: psycopg/psycopg2#1100
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
import time

import psycopg
import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

EXPORT = "SELECT * FROM generate_series(1, 100000)"
dsn = os.environ["DSN"]
kept, connections, engines = [], [], []

for library in (psycopg, psycopg2):
    for end in ("commit", "rollback", "close"):
        connection = library.connect(dsn)
        export = connection.cursor("export")
        export.execute(EXPORT)
        kept.append((export, export.fetchmany(10)))
        getattr(connection, end)()
        if not connection.closed:
            connections.append(connection)
for dialect in ("psycopg", "psycopg2"):
    engines.append(create_engine(dsn.replace("postgresql", f"postgresql+{dialect}", 1)))
    with Session(engines[-1]) as session:
        rows = session.execute(text(EXPORT).execution_options(stream_results=True))
        kept.append((rows, rows.fetchmany(10)))
for _ in range(14):
    time.sleep(0.1)
    for connection in connections:  # a later transaction is none of theirs
        connection.cursor().execute("SELECT 1")
        connection.commit()
for connection in connections:
    connection.close()
for engine in engines:
    engine.dispose()
