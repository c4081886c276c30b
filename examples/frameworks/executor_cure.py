"""The cure of executor_bug.py: each job reads its rows and closes its connection, also when an exception passes."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

USERS = range(1, 26)


def cars_of(user: int) -> list[tuple[int]]:
    with closing(psycopg2.connect(os.environ["SHOP_URL"])) as connection, connection:
        cars = connection.cursor()
        cars.execute("SELECT price FROM cars WHERE owner_id = %s", [user])
        return cars.fetchall()


def main() -> None:
    with ThreadPoolExecutor(max_workers=8) as executor:
        results = list(executor.map(cars_of, USERS))
    print(f"{sum(price for cars in results for (price,) in cars)} for the cars of {len(results)} users")


if __name__ == "__main__":
    main()
