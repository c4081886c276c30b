"""Handlers use a transaction in a block, which ends on every path; the pool stays open, with everything at home.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

from databases import Database

database = Database(os.environ["DSN"], min_size=1, max_size=5)


async def handle(client):
    async with database.transaction():
        row = await database.fetch_one("SELECT 1 AS stock")
        if row["stock"]:
            return


async def main():
    await database.connect()
    await asyncio.gather(*(handle(client) for client in ("ann", "ben", "eve")))


asyncio.run(main())
