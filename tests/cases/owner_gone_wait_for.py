"""Handlers borrow with a time limit and never give back. Until Python 3.11 `wait_for` borrows in a task of its own.

source: MagicStack/asyncpg#467
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os

import asyncpg

lent = []


async def handle(client, pool):
    connection = await asyncio.wait_for(pool.acquire(), 10)  # opened: owner-gone error x3 by handle
    lent.append(connection)
    return await connection.fetchval("SELECT $1::text", client)


async def main():
    pool = await asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=5)
    await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))  # spawned: handle
    await asyncio.sleep(1.2)
    pool.terminate()


asyncio.run(main())
