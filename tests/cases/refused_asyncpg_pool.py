"""Tasks hold an asyncpg pool's two connections, and the third waits until its timeout.

source: MagicStack/asyncpg#1247
needs: postgres
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def work(pool, connected, done):
    async with pool.acquire() as connection:  # opened: refused error x2 of 2 by work
        await connection.fetchval("SELECT 1")
        connected.release()
        await done.wait()


async def main():
    connected, done = asyncio.Semaphore(0), asyncio.Event()
    async with asyncpg.create_pool(DSN, min_size=2, max_size=2) as pool:
        tasks = [asyncio.create_task(work(pool, connected, done)) for _ in range(2)]  # spawned: work
        for _ in tasks:
            await connected.acquire()
        try:
            await pool.acquire(timeout=0.3)
        except asyncio.TimeoutError:
            print("timed out")
        done.set()
        await asyncio.gather(*tasks)


asyncio.run(main())
