"""An audit asks for a second connection of a pool whose only one its caller holds, and runs out of patience.

source: numerique-gouv/ami-notifications-api#375
needs: postgres
"""

import os

from sqlalchemy import create_engine, exc, text

url = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.2)


def audit():
    with engine.connect() as connection:  # opened: second-while-holding warning x1
        connection.execute(text("SELECT 1"))


with engine.connect() as connection:  # opened: refused error x1
    connection.execute(text("SELECT 1"))
    try:
        audit()
    except exc.TimeoutError:
        print("timed out")
