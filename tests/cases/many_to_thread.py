"""An async service sends blocking psycopg2 work to threads with asyncio.to_thread, as many at once as it
has users.

source: Arfey/django-async-backend#24
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
USERS = range(12)
everyone = threading.Barrier(len(USERS))


def load(user):
    # opened: too-many-at-once warning x12 by load
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [user])


async def main():
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(len(USERS)))
    await asyncio.gather(*(asyncio.to_thread(load, user) for user in USERS))  # spawned: load


asyncio.run(main())
