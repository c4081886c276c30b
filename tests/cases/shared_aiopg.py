"""Two tasks use one aiopg connection at the same time, and the second is refused by the library.

source: aio-libs/aiopg#127
needs: postgres
"""

import asyncio
import os

import aiopg


async def panel(connection):
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT pg_sleep(0.2)")
    except RuntimeError:
        print("another coroutine waits already")


async def main():
    connection = await aiopg.connect(os.environ["DSN"])  # opened: shared-at-once warning x2 by main
    await asyncio.gather(panel(connection), panel(connection))
    await connection.close()


asyncio.run(main())  # spawned: main
