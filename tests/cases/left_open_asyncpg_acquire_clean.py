"""The same handlers acquire in an async with.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def handle(client, pool):
    async with pool.acquire() as connection:
        return await connection.fetchval("SELECT $1::text", client)


async def main():
    async with asyncpg.create_pool(DSN, min_size=1, max_size=5) as pool:
        await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))


asyncio.run(main())
