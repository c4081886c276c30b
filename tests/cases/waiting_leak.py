"""An early return forgets `release`: later requests wait in `acquire` for ever, and nothing is raised.

source: hushh-labs/hushh-research#5871
needs: postgres
settings: WAITING=0.5 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def consent(pool, user):
    # opened: waiting-too-long error x3 of 2 by request; collected-open warning x2 by request
    connection = await pool.acquire()
    if not await connection.fetchval("SELECT $1::int > 0", user):
        return
    await pool.release(connection)


async def main():
    pool = await asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=2)
    requests = [asyncio.create_task(consent(pool, user)) for user in (1, 0, 0, 2, 3, 4)]  # spawned: request
    await asyncio.wait(requests, timeout=1.5)
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)


asyncio.run(main())
