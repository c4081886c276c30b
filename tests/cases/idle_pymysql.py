"""PyMySQL does not commit by itself, so an INSERT keeps its transaction and locks through the slow part.

source: Clinical-Genomics/cg#691
needs: mariadb
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import os
import time
from urllib.parse import urlsplit

import pymysql

SERVER = urlsplit(os.environ["DSN"])
# opened: idle-in-transaction warning x1
connection = pymysql.connect(host=SERVER.hostname, port=SERVER.port, user=SERVER.username, database="test")
with connection.cursor() as cursor:
    cursor.execute("CREATE TEMPORARY TABLE upload (name text) ENGINE = InnoDB")
    cursor.execute("INSERT INTO upload VALUES ('case')")
    time.sleep(1.4)
connection.commit()
connection.close()
