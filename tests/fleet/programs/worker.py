"""A correct program: each of its threads keeps a connection, after others that it has closed."""

import sys
import threading

from fleet import arguments, library, stay

OPEN = threading.Barrier(int(sys.argv[1]) + 1)


def check() -> None:
    library.connect(**arguments).close()


def work() -> None:
    check()
    connection = library.connect(**arguments)
    OPEN.wait()
    threading.Event().wait()
    connection.close()


for _ in range(int(sys.argv[1])):
    threading.Thread(target=work, daemon=True).start()
OPEN.wait()
stay()
