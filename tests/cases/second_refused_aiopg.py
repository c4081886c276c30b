"""A block of aiopg's pool of one asks the same pool for one more, and waits until the pool gives up.

source: aio-libs/aiopg#127
needs: postgres
"""

import asyncio
import os

import aiopg


async def audit(pool):
    async with pool.acquire() as connection:  # opened: second-while-holding warning x1 by main
        cursor = await connection.cursor()
        await cursor.execute("SELECT 1")


async def main():
    pool = await aiopg.create_pool(os.environ["DSN"], minsize=1, maxsize=1, timeout=0.3)
    async with pool, pool.acquire():  # opened: refused error x1 by main
        try:
            await audit(pool)
        except asyncio.TimeoutError:
            print("timed out")


asyncio.run(main())  # spawned: main
