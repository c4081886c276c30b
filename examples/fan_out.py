"""Sums up every user's cars, one thread per user: quick in development, refused once there are many users."""

import threading
from collections.abc import Iterable
from typing import Any

import psycopg2
from shop_database import USERS, shop_database

Report = dict[int, Any]

# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT count(*), sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = %s"


def load_cars(url: str, user: int, report: Report) -> None:
    try:
        connection = psycopg2.connect(url)
    except psycopg2.OperationalError as error:
        print(f"user {user}: {str(error).partition('FATAL:')[2].strip() or error}\n", end="")  # in one piece
        return
    with connection.cursor() as cursor:
        cursor.execute(CARS, [user])
        report[user] = cursor.fetchone()
    connection.close()


def build_report(url: str, users: Iterable[int]) -> Report:
    report: Report = {}
    threads = []
    for user in users:
        thread = threading.Thread(target=load_cars, args=(url, user, report))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return report


def main() -> None:
    with shop_database() as url:
        report = build_report(url, USERS)
    print(f"loaded {len(report)} of {len(USERS)} users")


if __name__ == "__main__":
    main()
