"""A shop with a connection for each of eight workers; two of them sell the same car."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import psycopg2


def work(url: str, car: int) -> None:
    connection = psycopg2.connect(url)
    if car == 3:  # somebody else has changed that row, and has not committed
        connection.cursor().execute("UPDATE cars SET price = 0 WHERE id = 3")
    sys.stdin.read()
    connection.close()


if __name__ == "__main__":
    with ThreadPoolExecutor(max_workers=8) as workers:
        list(workers.map(work, repeat(sys.argv[1]), (1, 2, 3, 3, 4, 5, 6, 7)))
