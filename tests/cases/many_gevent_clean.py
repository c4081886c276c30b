"""The same greenlets run in a gevent pool of three.

source: jneight/django-db-geventpool#56
needs: postgres
settings: TOO_MANY=10
"""

from gevent import monkey

monkey.patch_all()

import os
from contextlib import closing

import gevent
import psycopg2
from gevent.pool import Pool

DSN = os.environ["DSN"]


def crawl(page):
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        gevent.sleep(0.01)
        cursor.execute("SELECT %s", [page])


Pool(3).map(crawl, range(12))
