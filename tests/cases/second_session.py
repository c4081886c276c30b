"""A service function opens its own ORM session although its caller is inside one.

source: numerique-gouv/ami-notifications-api#375
needs: postgres
"""

import os

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"), pool_size=3, max_overflow=0)


def tax(amount):
    with Session(engine) as session:
        # opened: second-while-holding warning x2
        return session.execute(text("SELECT :amount * 2"), {"amount": amount}).scalar()


def invoice(amount):
    with Session(engine) as session:
        session.execute(text("SELECT :amount"), {"amount": amount})
        session.execute(text("SELECT :tax"), {"tax": tax(amount)})
        session.commit()


invoice(10)
invoice(20)
