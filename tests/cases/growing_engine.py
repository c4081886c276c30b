"""Every request makes an engine, and with it a pool that keeps one connection open.

source: hackforla/311-data#550
needs: postgres
settings: EVERY=0.05
"""

import os
import time

from sqlalchemy import create_engine, text

URL = os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:")
services = []


class DataService:
    def __init__(self):
        self.engine = create_engine(URL)  # opened: growing warning x12

    def query(self, number):
        with self.engine.connect() as connection:
            return connection.execute(text("SELECT :number"), {"number": number}).scalar()


for number in range(12):
    service = DataService()
    services.append(service)
    service.query(number)
    time.sleep(0.24)
