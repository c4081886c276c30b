"""Tasks made in a loop open an asyncpg connection each.

source: python-gino/gino#70
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]
USERS = range(12)
loaded = []


async def load(user, everyone):
    connection = await asyncpg.connect(DSN)  # opened: too-many-at-once warning x12 by load
    try:
        loaded.append(user)
        if len(loaded) == len(USERS):
            everyone.set()
        await everyone.wait()
        await connection.fetchval("SELECT $1::int", user)
    finally:
        await connection.close()


async def main():
    everyone = asyncio.Event()
    tasks = [asyncio.create_task(load(user, everyone)) for user in USERS]  # spawned: load
    for task in tasks:
        await task


asyncio.run(main())
