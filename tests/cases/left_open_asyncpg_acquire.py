"""Handlers acquire from an asyncpg pool and never release.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]
carts = {}


async def handle(client, pool):
    connection = await pool.acquire()  # opened: left-open error x3 by handle
    carts[client] = connection
    return await connection.fetchval("SELECT $1::text", client)


async def main():
    pool = await asyncpg.create_pool(DSN, min_size=1, max_size=5)
    await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))  # spawned: handle


asyncio.run(main())
