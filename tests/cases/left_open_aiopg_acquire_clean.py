"""The same handlers acquire in an async with.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

import aiopg

DSN = os.environ["DSN"]


async def handle(client, pool):
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT %s", (client,))
        return await cursor.fetchone()


async def main():
    async with aiopg.create_pool(DSN, minsize=1, maxsize=5) as pool:
        await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))


asyncio.run(main())
