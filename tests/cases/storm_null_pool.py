"""An engine made with NullPool connects anew for every request.

source: owtf/owtf#1362
needs: postgres
settings: STORM=10 STORM_FOR=1 EVERY=0.1
"""

import os
import time

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)


def request(number):
    with engine.connect() as connection:  # opened: connect-storm warning x10+
        return connection.execute(text("SELECT :number"), {"number": number}).scalar()


end = time.monotonic() + 2.5
number = 0
while time.monotonic() < end:
    number += 1
    request(number)
    time.sleep(0.01)
