"""An asyncpg transaction stays open while the task waits for something else.

source: level12/pals#28
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(os.environ["DSN"])  # opened: idle-in-transaction warning x1 by main
    async with connection.transaction():
        await connection.fetchval("SELECT pg_try_advisory_xact_lock(1)")
        await asyncio.sleep(1.4)
    await connection.close()


asyncio.run(main())  # spawned: main
