"""Two tasks wait for ever: each has one of the pool's two connections and asks for another.

source: MagicStack/asyncpg#5
needs: postgres
settings: EVERY=0.1
python: 3.11
"""

import asyncio
import os

import asyncpg

everybody = asyncio.Barrier(2)


async def audit(pool):
    async with pool.acquire() as connection:  # opened: second-while-holding warning x2 by request
        await connection.execute("SELECT 1")


async def request(pool):
    async with pool.acquire():
        await everybody.wait()
        await audit(pool)


async def main():
    async with asyncpg.create_pool(os.environ["DSN"], min_size=2, max_size=2) as pool:
        tasks = [asyncio.create_task(request(pool)) for _ in range(2)]  # spawned: request
        await asyncio.wait(tasks, timeout=1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


asyncio.run(main())
