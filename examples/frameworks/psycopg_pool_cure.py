"""The cure of psycopg_pool_bug.py: the caller passes its connection on to the helper."""

import os
from concurrent.futures import ThreadPoolExecutor

from psycopg import Connection
from psycopg_pool import ConnectionPool

USERS = range(1, 5)
# pg_sleep stands for what makes such a query slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.2) WHERE owner_id = %s"
totals: dict[int, str] = {}


def name_of(connection: Connection, user: int) -> str:
    return connection.execute("SELECT name FROM users WHERE id = %s", [user]).fetchone()[0]


def add_total(pool: ConnectionPool, user: int) -> None:
    with pool.connection() as connection:
        (total,) = connection.execute(CARS, [user]).fetchone()
        totals[user] = f"{name_of(connection, user)}: {total}"


def main() -> None:
    url = os.environ["SHOP_URL"]
    with ConnectionPool(url, min_size=4, max_size=4, timeout=3) as pool, ThreadPoolExecutor(4) as executor:
        for user in USERS:
            executor.submit(add_total, pool, user)
    print(f"totals of {len(totals)} of {len(USERS)} users")


if __name__ == "__main__":
    main()
