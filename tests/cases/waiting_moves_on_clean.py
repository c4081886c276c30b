"""Twelve requests share two connections. The last wait for longer than the limit, but the queue moves on.

source: psycopg/psycopg#218
needs: postgres
settings: WAITING=0.6 EVERY=0.1
"""

import asyncio
import os

from psycopg_pool import AsyncConnectionPool


async def query(pool):
    async with pool.connection() as connection:
        await connection.execute("SELECT pg_sleep(0.2)")


async def main():
    async with AsyncConnectionPool(os.environ["DSN"], min_size=2, max_size=2, open=False) as pool:
        await asyncio.gather(*[asyncio.create_task(query(pool)) for _ in range(12)])


asyncio.run(main())
