"""A task acquires from the pool inside a block that has acquired already.

source: MagicStack/asyncpg#5
needs: postgres
python: 3.11
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def name_of(user, pool):
    async with pool.acquire() as connection:  # opened: second-while-holding warning x2 by show
        return await connection.fetchval("SELECT $1::text", f"user {user}")


async def show(user, pool, everybody):
    async with pool.acquire() as connection:
        await everybody.wait()  # each has its first connection before one of them asks for a second
        await connection.fetchval("SELECT $1::text", await name_of(user, pool))


async def main():
    everybody = asyncio.Barrier(2)
    async with asyncpg.create_pool(DSN, min_size=1, max_size=8) as pool:
        await asyncio.gather(*(show(user, pool, everybody) for user in range(2)))  # spawned: show


asyncio.run(main())
