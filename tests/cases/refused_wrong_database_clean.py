"""A connection fails because the database does not exist, while others are open: that has nothing to do
with them.

source: pgbouncer/pgbouncer#919
needs: postgres
"""

import os
from urllib.parse import urlsplit

import psycopg2

DSN = os.environ["DSN"]
connection = psycopg2.connect(DSN)
try:
    psycopg2.connect(urlsplit(DSN)._replace(path="/nowhere").geturl())
except psycopg2.OperationalError as error:
    print(error)
connection.close()
