"""Three tasks have a connection each, and each asks the pool of three for one more.

source: MagicStack/asyncpg#5
needs: postgres
python: 3.11
"""

import asyncio
import os

import asyncpg

everybody = asyncio.Barrier(3)


async def audit(pool):
    async with pool.acquire(timeout=0.3) as connection:  # opened: second-while-holding warning x3 by request
        await connection.execute("SELECT 1")


async def request(pool):
    async with pool.acquire():  # opened: refused error x3 by request
        await everybody.wait()
        try:
            await audit(pool)
        except TimeoutError:
            await everybody.wait()


async def main():
    async with asyncpg.create_pool(os.environ["DSN"], min_size=3, max_size=3) as pool:
        await asyncio.gather(*(asyncio.create_task(request(pool)) for _ in range(3)))  # spawned: request


asyncio.run(main())
