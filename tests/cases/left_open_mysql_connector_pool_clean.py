"""Each job gives its connection back to mysql-connector's pool, which is left as it is at the end of the program.

source: binux/qiandao#33
needs: mariadb
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

from mysql.connector.pooling import MySQLConnectionPool

AT = urlsplit(os.environ["DSN"])
pool = MySQLConnectionPool(3, "few", host=AT.hostname, port=AT.port, user=AT.username, database=AT.path[1:])


def job(number):
    with closing(pool.get_connection()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", (number,))
        return cursor.fetchall()


with ThreadPoolExecutor(3) as executor:
    list(executor.map(job, range(12)))
