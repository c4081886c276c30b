"""Handlers begin a transaction by hand and leave by a path that neither commits nor rolls back.

source: encode/databases#430
needs: postgres
"""

import asyncio
import os

from databases import Database

database = Database(os.environ["DSN"], min_size=1, max_size=5)
transactions = []


async def handle(client):
    transaction = await database.transaction()  # opened: left-open error x3 by handle
    transactions.append(transaction)
    row = await database.fetch_one("SELECT 1 AS stock")
    if row["stock"]:
        return
    await transaction.commit()


async def main():
    await database.connect()
    await asyncio.gather(*(handle(client) for client in ("ann", "ben", "eve")))  # spawned: handle


asyncio.run(main())
