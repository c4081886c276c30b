"""A suite makes an engine for each of its tests, in one burst, and each keeps a connection at home.

source: quantopian/pgcontents#69
needs: postgres
"""

import os

from sqlalchemy import create_engine, text

url = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engines = []
for _ in range(24):
    engines.append(create_engine(url))  # opened: too-many-at-once warning x24 of 24
    with engines[-1].connect() as connection:
        connection.execute(text("SELECT 1"))
