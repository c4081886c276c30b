"""Moves money between accounts in both directions at once: PostgreSQL ends one transaction of each pair that meets."""

import threading

import psycopg2
from shop_database import shop_database

ACCOUNTS = "CREATE TABLE accounts AS SELECT id, 100 AS money FROM generate_series(1, 2) AS id"
both = threading.Barrier(2)


def change(cursor: psycopg2.extensions.cursor, account: int, money: int) -> None:
    cursor.execute("UPDATE accounts SET money = money + %s WHERE id = %s", [money, account])


def transfer(url: str, source: int, target: int) -> None:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            change(cursor, source, -10)
            both.wait()  # stands for a busy day: the other transfer has come just as far
            change(cursor, target, +10)
    except psycopg2.errors.DeadlockDetected:
        print(f"the transfer from {source} to {target} was ended by a deadlock")
    finally:
        connection.close()


def main() -> None:
    with shop_database() as url:
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute(ACCOUNTS)
        connection.close()
        threads = [threading.Thread(target=transfer, args=(url, *pair)) for pair in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("two transfers were tried")


if __name__ == "__main__":
    main()
