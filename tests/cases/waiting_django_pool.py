"""Django's pool of psycopg: each view keeps its connection while it renders, and the next request waits.

source: django/django#17594
needs: postgres
settings: WAITING=0.5 EVERY=0.1
"""

import os
import threading
import time
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connection

at = urlsplit(os.environ["DSN"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": at.path[1:],
            "USER": at.username,
            "HOST": at.hostname,
            "PORT": at.port,
            "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}},
        }
    }
)
django.setup()


def view():
    with connection.cursor() as cursor:  # opened: waiting-too-long error x1 of 1 by request
        cursor.execute("SELECT 1")
    time.sleep(1.2)
    connection.close()


threads = [threading.Thread(target=view) for _ in range(2)]
for thread in threads:
    thread.start()  # spawned: request
for thread in threads:
    thread.join()
connection.close_pool()
