"""One owner takes a second connection for a moment from a pool that lends fifteen.

source: aio-libs/aiopg#127
needs: postgres
"""

import os

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))


def version():
    with engine.connect() as connection:  # opened: second-while-holding info x1
        return connection.execute(text("SELECT 1")).scalar()


with engine.connect() as connection:
    connection.execute(text("SELECT :version"), {"version": version()})
