"""asyncio's debug mode wraps and slows everything, but the lines stay the same.

source: Arfey/django-async-backend#24
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
USERS = range(11)
loaded = []


async def load(user, everyone):
    # opened: too-many-at-once warning x11 by load
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        loaded.append(user)
        if len(loaded) == len(USERS):
            everyone.set()
        await everyone.wait()
        await connection.execute("SELECT %s", [user])


async def main():
    everyone = asyncio.Event()
    tasks = [asyncio.ensure_future(load(user, everyone)) for user in USERS]  # spawned: load
    await asyncio.wait(tasks)


asyncio.run(main(), debug=True)
