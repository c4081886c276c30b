"""An aiopg pool keeps four connections at home, as its minsize says, while the program waits for work.

source: aio-libs/aiopg#330
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import asyncio
import os

import aiopg


async def main():
    async with aiopg.create_pool(os.environ["DSN"], minsize=4, maxsize=4) as pool:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT 1")
        await asyncio.sleep(1.5)


asyncio.run(main())
