"""One task per file reads its row and then keeps its connection open for as long as the upload takes.

source: LearningCircuit/local-deep-research#6387
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def upload(name):
    # opened: held-too-long warning x3 by upload; given-back info x3 by upload
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        cursor = await connection.execute("SELECT %s", [name])
        row = await cursor.fetchone()
        await asyncio.sleep(1.5)  # the upload
        return row


async def main():
    tasks = [asyncio.create_task(upload(name)) for name in ("a", "b", "c")]  # spawned: upload
    await asyncio.gather(*tasks)


asyncio.run(main())
