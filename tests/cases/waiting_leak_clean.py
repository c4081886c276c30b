"""The same requests with `async with`: an early return gives back, too.

source: hushh-labs/hushh-research#5871
needs: postgres
settings: WAITING=0.5 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def consent(pool, user):
    async with pool.acquire() as connection:
        if not await connection.fetchval("SELECT $1::int > 0", user):
            return


async def main():
    async with asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=2) as pool:
        requests = [asyncio.create_task(consent(pool, user)) for user in (1, 0, 0, 2, 3, 4)]
        await asyncio.wait(requests, timeout=1.5)
        await asyncio.sleep(1)


asyncio.run(main())
