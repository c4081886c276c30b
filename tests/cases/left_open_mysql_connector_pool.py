"""Each job takes a connection of mysql-connector's pool and keeps it: the pool is exhausted, and the next job fails.

source: binux/qiandao#33
needs: mariadb
"""

import os
from urllib.parse import urlsplit

from mysql.connector.errors import PoolError
from mysql.connector.pooling import MySQLConnectionPool

AT = urlsplit(os.environ["DSN"])
pool = MySQLConnectionPool(3, "few", host=AT.hostname, port=AT.port, user=AT.username, database=AT.path[1:])
kept = []


def job(number):
    connection = pool.get_connection()  # opened: left-open error x3; refused error x3 of 3
    cursor = connection.cursor()
    cursor.execute("SELECT %s", (number,))
    kept.append((connection, cursor.fetchall()))


for number in range(4):
    try:
        job(number)
    except PoolError as error:
        print(error)
