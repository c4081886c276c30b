"""Failed jobs keep their exception in the future, the exception keeps the frame, and the frame keeps the
connection.

source: malthe/pq#41
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]


def convert(number):
    # opened: owner-gone error x3 by convert; left-open error x3 by convert
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text", [f"{number} EUR"])
        amount = int(cursor.fetchone()[0])
    connection.close()
    return amount


with ThreadPoolExecutor(3) as executor:
    futures = [executor.submit(convert, number) for number in range(3)]  # spawned: convert
time.sleep(1.2)
print([type(future.exception()).__name__ for future in futures])
