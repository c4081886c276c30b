"""Tasks call a slow service inside a transaction block, and hold their locks all the while.

source: safe-global/safe-decoder-service#297
needs: postgres
settings: IDLE_IN_TRANSACTION=0.4 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def download(contract):
    # opened: idle-in-transaction warning x3 by download
    async with await psycopg.AsyncConnection.connect(DSN) as connection, connection.transaction():
        await connection.execute("SELECT %s", [contract])
        await asyncio.sleep(1.4)  # the download
        await connection.execute("SELECT %s", [contract])


async def main():
    await asyncio.gather(*(download(contract) for contract in range(3)))  # spawned: download


asyncio.run(main())
