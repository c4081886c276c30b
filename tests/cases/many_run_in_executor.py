"""run_in_executor is called for each user at once, on an executor that is wide enough for all of them.

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
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(USERS)) as executor:
        jobs = [loop.run_in_executor(executor, load, user) for user in USERS]  # spawned: load
        await asyncio.gather(*jobs)


asyncio.run(main())
