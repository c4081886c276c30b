"""Idle in transaction: it reads in two places, and never commits."""

import sys

from fleet import arguments, library, stay

KEPT = []


def read_sales() -> None:
    connection = library.connect(**arguments)
    connection.cursor().execute("SELECT price FROM cars WHERE id = 0")
    KEPT.append(connection)


def read_stock() -> None:
    connection = library.connect(**arguments)
    connection.cursor().execute("SELECT price FROM cars WHERE id = 1")
    KEPT.append(connection)


for number in range(int(sys.argv[1])):
    (read_stock if number % 3 else read_sales)()
stay()
