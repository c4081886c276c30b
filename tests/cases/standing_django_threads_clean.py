"""Django's connections persist in the threads of a server (CONN_MAX_AGE), idle for longer than the limit when the
server stops.

source: wagtail/wagtail#6563
needs: postgres
settings: HELD_TOO_LONG=0.4 OWNER_GONE=0.3 EVERY=0.1
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import connection

url = urlsplit(os.environ["DSN"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.strip("/"),
            "USER": url.username,
            "HOST": url.hostname,
            "PORT": url.port,
            "CONN_MAX_AGE": 600,
        }
    }
)
django.setup()
everyone = threading.Barrier(3)


def request(number):
    request_started.send(None)
    everyone.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
    request_finished.send(None)


executor = ThreadPoolExecutor(3)
list(executor.map(request, range(9)))
time.sleep(1)
executor.shutdown()
