"""The cure of fastapi_bug.py: the dependency yields the session and closes it when the request is over."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

url = os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(url, pool_size=5, max_overflow=0, pool_timeout=1)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    engine.dispose()


app = FastAPI(lifespan=lifespan)


class Base(DeclarativeBase):
    pass


class Car(Base):
    __tablename__ = "cars"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int]
    price: Mapped[int]


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@app.get("/users/{user}/cars")
def cars(user: int, session: Annotated[Session, Depends(get_session)]) -> dict[int, int]:
    owned = session.scalars(select(Car).where(Car.owner_id == user))
    return {car.id: car.price for car in owned}
