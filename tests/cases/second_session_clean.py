"""The service function runs in a savepoint of its caller's session.

source: numerique-gouv/ami-notifications-api#375
needs: postgres
"""

import os

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))


def tax(amount, session):
    with session.begin_nested():
        return session.execute(text("SELECT :amount * 2"), {"amount": amount}).scalar()


def invoice(amount):
    with Session(engine) as session:
        session.execute(text("SELECT :amount"), {"amount": amount})
        session.execute(text("SELECT :tax"), {"tax": tax(amount, session)})
        session.commit()


invoice(10)
invoice(20)
