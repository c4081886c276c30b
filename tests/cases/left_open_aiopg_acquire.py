"""Handlers acquire from an aiopg pool and never release.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

import aiopg

DSN = os.environ["DSN"]
pools = []


async def handle(client, pool):
    connection = await pool.acquire()  # opened: left-open error x3 by handle
    cursor = await connection.cursor()
    await cursor.execute("SELECT %s", (client,))
    return await cursor.fetchone()


async def main():
    pool = await aiopg.create_pool(DSN, minsize=1, maxsize=5)
    pools.append(pool)
    await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))  # spawned: handle


asyncio.run(main())
