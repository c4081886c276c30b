"""Threads use the ORM and end; Django's connection of each outlives it, in a cycle that waits for the
collector.

source: codingjoe/django-health-check#182
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import gc
import threading
import time

import django
from django.conf import settings
from django.db import connection, models

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
gc.disable()  # as large servers do, and collect when it suits them


class Check(models.Model):  # noqa: DJ008 (never shown)
    class Meta:
        app_label = "health"


with connection.schema_editor() as editor:
    editor.create_model(Check)
connection.close()


def check():
    Check.objects.count()  # opened: owner-gone error x4 by check


threads = [threading.Thread(target=check) for _ in range(4)]
for thread in threads:
    thread.start()  # spawned: check
for thread in threads:
    thread.join()
time.sleep(1.2)
