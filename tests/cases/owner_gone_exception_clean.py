"""The same failures, from jobs that close before they fail.

source: malthe/pq#41
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def convert(number):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s::text", [f"{number} EUR"])
        return int(cursor.fetchone()[0])


with ThreadPoolExecutor(3) as executor:
    futures = [executor.submit(convert, number) for number in range(3)]
time.sleep(1.2)
print([type(future.exception()).__name__ for future in futures])
