"""The same views give their connection back before they render.

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
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()
    time.sleep(1.2)


threads = [threading.Thread(target=view) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
connection.close_pool()
