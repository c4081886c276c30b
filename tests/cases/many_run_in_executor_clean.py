"""The same calls on an executor of three workers.

source: Arfey/django-async-backend#24
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]


def load(user):
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", [user])


async def main():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(3) as executor:
        await asyncio.gather(*[loop.run_in_executor(executor, load, user) for user in range(12)])


asyncio.run(main())
