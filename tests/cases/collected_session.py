"""A view makes a session, asks once and lets it go without a close; only the collector gives the
connection back.

source: LearningCircuit/local-deep-research#5778
needs: postgres
"""

import gc
import os

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))


def view(number):
    session = Session(engine)
    # opened: collected-open warning x3
    return session.execute(text("SELECT :number"), {"number": number}).scalar()


for number in range(3):
    view(number)
    gc.collect()
