"""The suite's engine is made again for each test and disposed of at its end.

source: quantopian/pgcontents#69
needs: postgres
"""

import os

from sqlalchemy import create_engine, text

url = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
engines = []
for _ in range(24):
    engines.append(create_engine(url))
    with engines[-1].connect() as connection:
        connection.execute(text("SELECT 1"))
    engines[-1].dispose()
