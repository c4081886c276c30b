"""The same cities go through an executor of four workers.

source: psycopg/psycopg2#663
needs: postgres
settings: TOO_MANY=10
stderr: yes
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
CITIES = [f"city {number}" for number in range(12)]


def load(city):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s, pg_sleep(0.05)", [city])


with ThreadPoolExecutor(max_workers=4) as executor:
    list(executor.map(load, CITIES))
