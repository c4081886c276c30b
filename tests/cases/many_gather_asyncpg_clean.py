"""The same tasks share an asyncpg pool of ten and wait for their turn.

source: MagicStack/asyncpg#1247
needs: postgres
settings: TOO_MANY=10
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def load(user, pool):
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT $1::int FROM pg_sleep(0.02)", user)


async def main():
    async with asyncpg.create_pool(DSN, min_size=1, max_size=10) as pool:
        await asyncio.gather(*(load(user, pool) for user in range(30)))


asyncio.run(main())
