"""Each request uses its SQLModel session in a with block; the engine's pool stays open, with everything at home.

source: fastapi/fastapi#27
"""

import threading

from sqlmodel import Field, Session, SQLModel, create_engine, select


class Car(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)


engine = create_engine("sqlite:///shop.db")
SQLModel.metadata.create_all(engine)


def handle(request):
    with Session(engine) as session:
        session.exec(select(Car)).all()


threads = [threading.Thread(target=handle, args=(request,)) for request in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
