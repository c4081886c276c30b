"""Waits: three of its threads sell a car whose row somebody else has changed."""

import sys
import threading

from fleet import arguments, library, ordinal, stay

SELLING = 3
OPEN = threading.Barrier(int(sys.argv[1]) + 1)


def work(number: int) -> None:
    connection = library.connect(**arguments)
    OPEN.wait()
    if number < SELLING:
        connection.cursor().execute(f"UPDATE cars SET price = 0 WHERE id = {ordinal // 4}")
    threading.Event().wait()


for number in range(int(sys.argv[1])):
    threading.Thread(target=work, args=(number,), daemon=True).start()
OPEN.wait()
stay()
