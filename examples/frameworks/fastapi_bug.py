"""A shop's API whose dependency opens a session for each request, and forgets it."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

url = os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(url, pool_size=5, max_overflow=0, pool_timeout=1)
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Car(Base):
    __tablename__ = "cars"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int]
    price: Mapped[int]


def get_session() -> Session:
    return Session(engine)


@app.get("/users/{user}/cars")
def cars(user: int, session: Annotated[Session, Depends(get_session)]) -> dict[int, int]:
    owned = session.scalars(select(Car).where(Car.owner_id == user))
    return {car.id: car.price for car in owned}
