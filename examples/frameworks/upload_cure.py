"""The cure of upload_bug.py: the session is closed before the slow call, and a pool of two is large enough."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

USERS = range(1, 9)
URL = os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg2:")
engine = create_engine(URL, pool_size=2, max_overflow=0)
sent: list[int] = []


def send(total: int) -> None:
    time.sleep(1.5)  # stands for a call to another service
    sent.append(total)


def print_list(user: int) -> None:
    with Session(engine) as session:
        total = session.scalar(text("SELECT sum(price) FROM cars WHERE owner_id = :user"), {"user": user})
    send(total)


def main() -> None:
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(print_list, USERS))
    print(f"{len(sent)} lists in {time.monotonic() - begin:.0f} s")
    engine.dispose()


if __name__ == "__main__":
    main()
