"""Three consumers keep their connections for ever, and ask something every tenth of a second.

source: gregsadetsky/tps#21
needs: postgres
settings: HELD_TOO_LONG=0.9 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def consume(number):
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        for _ in range(16):
            await connection.execute("SELECT %s", [number])
            await asyncio.sleep(0.1)


async def main():
    await asyncio.gather(consume(1), consume(2), consume(3))


asyncio.run(main())
