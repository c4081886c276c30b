"""Tasks of `wait_for` and `gather` only bring connections to who awaits them, who takes its time before using them.

source: MagicStack/asyncpg#467
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def handle(client, pool):
    connection = await asyncio.wait_for(pool.acquire(), 10)
    try:
        await asyncio.sleep(1.2)
        return await connection.fetchval("SELECT $1::text", client)
    finally:
        await pool.release(connection)


async def compare():
    both = await asyncio.gather(asyncpg.connect(os.environ["DSN"]), asyncpg.connect(os.environ["DSN"]))
    await asyncio.sleep(1.2)
    for connection in both:
        await connection.close()


async def main():
    async with asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=5) as pool:
        await asyncio.gather(compare(), *(handle(client, pool) for client in ("ann", "ben", "eve")))


asyncio.run(main())
