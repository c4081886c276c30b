"""The first cure of fan_out.py: eight workers, hence at most eight connections at once."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
from shop_database import USERS, shop_database

WORKERS = 8

Report = dict[int, Any]

# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT count(*), sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = %s"


def load_cars(url: str, user: int) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(CARS, [user])
        return cursor.fetchone()


def build_report(url: str, users: Iterable[int]) -> Report:
    with ThreadPoolExecutor(max_workers=WORKERS) as executor:
        jobs = {user: executor.submit(load_cars, url, user) for user in users}
        return {user: job.result() for user, job in jobs.items()}


def main() -> None:
    with shop_database() as url:
        report = build_report(url, USERS)
    print(f"loaded {len(report)} of {len(USERS)} users")


if __name__ == "__main__":
    main()
