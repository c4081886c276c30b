"""asyncio.gather starts a task for every user, and each connects for itself.

source: python-gino/gino#70
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
USERS = range(12)
loaded = []


async def load(user, everyone):
    # opened: too-many-at-once warning x12 by load
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        loaded.append(user)
        if len(loaded) == len(USERS):
            everyone.set()
        await everyone.wait()
        await connection.execute("SELECT %s", [user])


async def main():
    everyone = asyncio.Event()
    await asyncio.gather(*(load(user, everyone) for user in USERS))  # spawned: load


asyncio.run(main())
