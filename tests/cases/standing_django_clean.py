"""A management command works through a queue: each round begins with close_old_connections(), and the connection of
the last round is open when the command ends.

source: django-q2/django-q2#5
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import close_old_connections, connection

url = urlsplit(os.environ["DSN"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.strip("/"),
            "USER": url.username,
            "HOST": url.hostname,
            "PORT": url.port,
        }
    }
)
django.setup()
for _ in range(3):
    close_old_connections()
    with connection.cursor() as cursor:  # opened: left-open info x1
        cursor.execute("SELECT 1")
