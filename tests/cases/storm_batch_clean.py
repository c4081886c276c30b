"""A bounded batch connects thirty times and is over in a moment.

source: datagovuk/apiserver#1
needs: postgres
settings: STORM=10 STORM_FOR=4 EVERY=0.1
"""

import os
import time
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def migrate(number):
    with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])


for number in range(30):
    migrate(number)
time.sleep(1.0)
