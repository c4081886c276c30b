"""Django keeps connections (CONN_MAX_AGE) under ASGI, where each request has a thread of its own: no later request
ever takes one up again.

source: django/django#17323
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import gc

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import connection

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db", "CONN_MAX_AGE": 600}}
)
django.setup()
gc.disable()  # as large servers do, and collect when it suits them


def view():
    with connection.cursor() as cursor:  # opened: owner-gone error x4 by request
        cursor.execute("SELECT 1")


async def request():
    async with ThreadSensitiveContext():
        await sync_to_async(view)()  # spawned: request


async def main():
    for _ in range(4):
        await asyncio.create_task(request())
    await asyncio.sleep(1.2)


asyncio.run(main())
