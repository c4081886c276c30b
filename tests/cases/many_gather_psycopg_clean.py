"""The same gather lets three tasks at a time through a semaphore.

source: python-gino/gino#70
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def load(user, turn):
    async with turn, await psycopg.AsyncConnection.connect(DSN) as connection:
        await connection.execute("SELECT %s", [user])


async def main():
    turn = asyncio.Semaphore(3)
    await asyncio.gather(*(load(user, turn) for user in range(12)))


asyncio.run(main())
