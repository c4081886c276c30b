"""Under gevent's monkey patching every greenlet of a crawl opens a connection.

source: jneight/django-db-geventpool#56
needs: postgres
settings: TOO_MANY=10
"""

from gevent import monkey

monkey.patch_all()

import os
import threading
from contextlib import closing

import gevent
import psycopg2

DSN = os.environ["DSN"]
PAGES = range(12)
everyone = threading.Barrier(len(PAGES))


def crawl(page):
    # opened: too-many-at-once warning x12 by crawl
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait()
        cursor.execute("SELECT %s", [page])


jobs = [gevent.spawn(crawl, page) for page in PAGES]  # spawned: crawl
gevent.joinall(jobs, raise_error=True)
