"""A worker reads its row through a session, and the session's transaction stays open during the slow
upload that follows.

source: vantage6/vantage6#534
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import os
import time

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))

with Session(engine) as session:
    name = session.execute(text("SELECT 'report.csv'")).scalar()  # opened: idle-in-transaction warning x1
    time.sleep(1.4)  # the upload
    session.execute(text("SELECT :name"), {"name": name})
    session.commit()
