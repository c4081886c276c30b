"""A session flushes a row and is not committed while the thread does something else; another session's flush fails.

source: ccxt/binance-trade-bot#182
"""

import threading

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

engine = create_engine("sqlite:///trades.db", connect_args={"timeout": 0.05})
flushed = threading.Event()
done = threading.Event()


def trade():
    with Session(engine) as session:
        session.execute(text("INSERT INTO trades VALUES (1)"))  # opened: locked error x1 by trade
        flushed.set()
        done.wait(20)
        session.commit()


with engine.begin() as connection:
    connection.execute(text("CREATE TABLE trades (id)"))
thread = threading.Thread(target=trade)
thread.start()  # spawned: trade
flushed.wait(20)
try:
    with Session(engine) as session:
        session.execute(text("INSERT INTO trades VALUES (2)"))
        session.commit()
except OperationalError as error:
    print(error.orig)
done.set()
thread.join()
engine.dispose()
