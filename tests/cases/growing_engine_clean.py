"""The engine is made once, and every request borrows from it.

source: hackforla/311-data#550
needs: postgres
settings: EVERY=0.05
"""

import os
import time

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))


def query(number):
    with engine.connect() as connection:
        return connection.execute(text("SELECT :number"), {"number": number}).scalar()


for number in range(12):
    query(number)
    time.sleep(0.1)
