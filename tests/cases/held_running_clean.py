"""Three reports hold their connections long, because their statements run long.

source: radiasoft/sirepo#5390
needs: postgres
settings: HELD_TOO_LONG=0.4 IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def report(number):
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        await connection.execute("SELECT pg_sleep(1.3), %s", [number])


async def main():
    await asyncio.gather(report(1), report(2), report(3))


asyncio.run(main())
