"""Tasks keep what they acquired from the pool while they wait for another service.

source: hushh-labs/hushh-research#5871
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def ask(pool, user):
    # opened: held-too-long warning x3 by ask; given-back info x3 by ask
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT $1::int", user)
        await asyncio.sleep(1.5)  # the other service


async def main():
    async with asyncpg.create_pool(DSN, min_size=1, max_size=5) as pool:
        await asyncio.gather(*(ask(pool, user) for user in range(3)))  # spawned: ask


asyncio.run(main())
