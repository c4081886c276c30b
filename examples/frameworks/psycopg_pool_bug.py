"""A shop's totals over a pool of psycopg 3: a helper takes a second connection while its caller holds the first."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from psycopg_pool import ConnectionPool, PoolTimeout

USERS = range(1, 5)
# pg_sleep stands for what makes such a query slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.2) WHERE owner_id = %s"
totals: dict[int, str] = {}


def name_of(pool: ConnectionPool, user: int) -> str:
    with pool.connection() as connection:
        return connection.execute("SELECT name FROM users WHERE id = %s", [user]).fetchone()[0]


def add_total(pool: ConnectionPool, user: int) -> None:
    with suppress(PoolTimeout), pool.connection() as connection:
        (total,) = connection.execute(CARS, [user]).fetchone()
        totals[user] = f"{name_of(pool, user)}: {total}"


def main() -> None:
    url = os.environ["SHOP_URL"]
    with ConnectionPool(url, min_size=4, max_size=4, timeout=3) as pool, ThreadPoolExecutor(4) as executor:
        for user in USERS:
            executor.submit(add_total, pool, user)
    print(f"totals of {len(totals)} of {len(USERS)} users")


if __name__ == "__main__":
    main()
