"""The pool's only connection is held by somebody else when the audit runs out of patience: no nesting.

source: numerique-gouv/ami-notifications-api#375
needs: postgres
"""

import os
import threading

from sqlalchemy import create_engine, exc, text

url = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.2)
taken, done = threading.Event(), threading.Event()


def report():
    with engine.connect() as connection:  # opened: refused error x1 by report
        connection.execute(text("SELECT 1"))
        taken.set()
        done.wait(30)


reporter = threading.Thread(target=report)
reporter.start()  # spawned: report
taken.wait(30)
try:
    engine.connect()
except exc.TimeoutError:
    print("timed out")
done.set()
reporter.join()
