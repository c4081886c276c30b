"""A request keeps Tortoise's transaction open while it calls another service; the pool lends one of its connections.

source: tortoise/tortoise-orm#1438
needs: postgres
settings: IDLE_IN_TRANSACTION=0.3 EVERY=0.1
"""

import asyncio
import os

from tortoise import Tortoise, fields, models
from tortoise.transactions import in_transaction

URL = os.environ["DSN"].replace("postgresql:", "asyncpg:") + "?minsize=2&maxsize=4"


class Car(models.Model):
    id = fields.IntField(primary_key=True)


async def call_another_service():
    await asyncio.sleep(1)


async def handle():
    async with in_transaction("default") as connection:  # opened: idle-in-transaction warning x1 by handle
        await connection.execute_query("SELECT 1")
        await call_another_service()


async def main():
    await Tortoise.init(db_url=URL, modules={"models": ["__main__"]})
    await asyncio.create_task(handle())  # spawned: handle
    await Tortoise.close_connections()


asyncio.run(main())
