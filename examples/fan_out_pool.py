"""The second cure of fan_out.py: a pool of eight connections, each opened once and used many times."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psycopg2.pool import ThreadedConnectionPool
from shop_database import USERS, shop_database

WORKERS = 8  # and as many connections: getconn does not wait for one, it raises

Report = dict[int, Any]

# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT count(*), sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = %s"


def load_cars(pool: ThreadedConnectionPool, user: int) -> Any:
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(CARS, [user])
            return cursor.fetchone()
    finally:
        pool.putconn(connection)


def build_report(pool: ThreadedConnectionPool, users: Iterable[int]) -> Report:
    with ThreadPoolExecutor(max_workers=WORKERS) as executor:
        jobs = {user: executor.submit(load_cars, pool, user) for user in users}
        return {user: job.result() for user, job in jobs.items()}


def main() -> None:
    with shop_database() as url:
        pool = ThreadedConnectionPool(WORKERS, WORKERS, url)
        try:
            report = build_report(pool, USERS)
        finally:
            pool.closeall()
    print(f"loaded {len(report)} of {len(USERS)} users")


if __name__ == "__main__":
    main()
