"""Executor workers keep Django's persistent connection between jobs, and it goes when they do.

source: ansible/awx#10191
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import django
from django.conf import settings
from django.db import connection, models

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
everyone = threading.Barrier(3)


class Job(models.Model):  # noqa: DJ008 (never shown)
    class Meta:
        app_label = "jobs"


with connection.schema_editor() as editor:
    editor.create_model(Job)
connection.close()


def work(number):
    everyone.wait(20)  # so that each worker gets every third job
    return Job.objects.filter(pk=number).exists()


with ThreadPoolExecutor(3) as executor:
    print(sum(executor.map(work, range(12))))
