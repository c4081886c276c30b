"""A worker's transaction is never committed; another waits until MySQL gives up.

source: RocketMap/RocketMap#163
needs: mariadb
"""

import os
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])


def connect():
    # opened: locked error x1
    return pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")


one, other = connect(), connect()
with one.cursor() as cursor:
    cursor.execute("CREATE OR REPLACE TABLE pokemon (id integer PRIMARY KEY) ENGINE=InnoDB")
    cursor.execute("INSERT INTO pokemon VALUES (1)")
one.commit()
with one.cursor() as cursor:
    cursor.execute("UPDATE pokemon SET id = 2")
with other.cursor() as cursor:
    cursor.execute("SET innodb_lock_wait_timeout = 1")
    try:
        cursor.execute("DELETE FROM pokemon")
    except pymysql.err.OperationalError as error:
        print(error)
other.close()
one.rollback()
with one.cursor() as cursor:
    cursor.execute("DROP TABLE pokemon")
one.close()
