"""With eager tasks the coroutine runs before create_task returns, and still create_task started it.

source: MagicStack/asyncpg#464
needs: postgres
settings: TOO_MANY=10
python: 3.12
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
everyone = asyncio.Barrier(11)


async def call(number):
    # opened: too-many-at-once warning x11 by call
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        await everyone.wait()
        await connection.execute("SELECT %s", [number])


async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    tasks = [asyncio.create_task(call(number)) for number in range(11)]  # spawned: call
    await asyncio.gather(*tasks)


asyncio.run(main())
