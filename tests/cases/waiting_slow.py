"""All connections of a psycopg_pool are in slow statements, and the other requests wait until it times out.

source: psycopg/psycopg#218
needs: postgres
settings: WAITING=0.5 EVERY=0.1
"""

import asyncio
import os

from psycopg_pool import AsyncConnectionPool


async def query(pool):
    async with pool.connection() as connection:  # opened: waiting-too-long warning x4 of 2 by query
        await connection.execute("SELECT pg_sleep(1.2)")


async def main():
    async with AsyncConnectionPool(os.environ["DSN"], min_size=2, max_size=2, open=False) as pool:
        await asyncio.gather(*[asyncio.create_task(query(pool)) for _ in range(6)])  # spawned: query


asyncio.run(main())
