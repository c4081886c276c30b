"""Blocks others: one of its connections changes the row of its own number, and does not commit."""

import sys

from fleet import arguments, library, ordinal, stay

KEPT = []


def watch_exchange() -> None:
    KEPT.append(library.connect(**arguments))


def change_price() -> None:
    connection = library.connect(**arguments)
    connection.cursor().execute(f"UPDATE cars SET price = price + 1 WHERE id = {ordinal}")
    KEPT.append(connection)


change_price()
for _ in range(int(sys.argv[1]) - 1):
    watch_exchange()
stay()
