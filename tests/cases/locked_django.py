"""A worker saves in the middle of a long atomic block; the request that saves meanwhile is locked out.

source: Koed00/django-q#617
"""

import threading

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "queue.db", "OPTIONS": {"timeout": 0.05}}}
)
django.setup()

from django.db import OperationalError, connection, transaction  # noqa: E402

saved = threading.Event()
done = threading.Event()


def work():
    with transaction.atomic():  # opened: locked error x1 by work
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO tasks VALUES (1)")
        saved.set()
        done.wait(20)
    connection.close()


with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE tasks (id)")
thread = threading.Thread(target=work)
thread.start()  # spawned: work
saved.wait(20)
try:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO tasks VALUES (2)")
except OperationalError as error:
    print(error)
done.set()
thread.join()
connection.close()
