"""A shop's totals from an executor: eight workers, but a connection for each job, as `with` does not close it."""

import os
from concurrent.futures import ThreadPoolExecutor

import psycopg2
from psycopg2.extensions import cursor

USERS = range(1, 26)


def cars_of(user: int) -> cursor:
    with psycopg2.connect(os.environ["SHOP_URL"]) as connection:
        cars = connection.cursor()
        cars.execute("SELECT price FROM cars WHERE owner_id = %s", [user])
        return cars


def main() -> None:
    with ThreadPoolExecutor(max_workers=8) as executor:
        results = list(executor.map(cars_of, USERS))
    print(f"{sum(price for cars in results for (price,) in cars)} for the cars of {len(results)} users")


if __name__ == "__main__":
    main()
