"""Three tasks have a connection each, and each asks the pool of three for one more.

source: aio-libs/aiopg#127
needs: postgres
python: 3.11
"""

import asyncio
import os

from psycopg_pool import AsyncConnectionPool, PoolTimeout

everybody = asyncio.Barrier(3)


async def audit(pool):
    async with pool.connection() as connection:  # opened: second-while-holding warning x3 by request
        await connection.execute("SELECT 1")


async def request(pool):
    async with pool.connection():  # opened: refused error x3 by request
        await everybody.wait()
        try:
            await audit(pool)
        except PoolTimeout:
            await everybody.wait()


async def main():
    async with AsyncConnectionPool(os.environ["DSN"], min_size=3, max_size=3, timeout=0.3, open=False) as pool:
        await pool.wait()
        await asyncio.gather(*(asyncio.create_task(request(pool)) for _ in range(3)))  # spawned: request


asyncio.run(main())
