"""Outside a transaction block asyncpg commits every statement, and waiting costs nothing.

source: level12/pals#28
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(os.environ["DSN"])
    await connection.fetchval("SELECT pg_try_advisory_lock(1)")
    await asyncio.sleep(1.2)
    await connection.close()


asyncio.run(main())
