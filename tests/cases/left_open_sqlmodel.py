"""Each request makes a SQLModel session and parks it in a dict by request id; none is ever closed.

source: fastapi/fastapi#27
"""

import threading

from sqlmodel import Field, Session, SQLModel, create_engine, select


class Car(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)


engine = create_engine("sqlite:///shop.db")
SQLModel.metadata.create_all(engine)
sessions = {}


def handle(request):
    session = Session(engine)
    sessions[request] = session
    session.exec(select(Car)).all()  # opened: left-open error x3 by handle


threads = [threading.Thread(target=handle, args=(request,)) for request in range(3)]
for thread in threads:
    thread.start()  # spawned: handle
for thread in threads:
    thread.join()
