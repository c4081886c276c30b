"""Three loans that are never released, and a pool that is terminated at the end: a leak, and no nesting.

source: MagicStack/asyncpg#467
needs: postgres
"""

import asyncio
import os

import asyncpg


async def main():
    pool = await asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=4)
    for _ in range(3):
        await pool.acquire()
    pool.terminate()


asyncio.run(main())
