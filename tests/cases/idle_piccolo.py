"""A request keeps Piccolo's transaction open while it calls another service.

source: piccolo-orm/piccolo#543
needs: postgres
settings: IDLE_IN_TRANSACTION=0.3 EVERY=0.1
"""

import asyncio
import os

from piccolo.columns import Varchar
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

DB = PostgresEngine(config={"dsn": os.environ["DSN"]})


class Car(Table, db=DB, tablename="piccolo_car"):
    name = Varchar()


async def call_another_service():
    await asyncio.sleep(1)


async def handle():
    async with DB.transaction():  # opened: idle-in-transaction warning x1 by handle
        await Car.raw("SELECT 1")
        await call_another_service()


async def main():
    await DB.start_connection_pool(min_size=2, max_size=4)
    await asyncio.create_task(handle())  # spawned: handle
    await DB.close_connection_pool()


asyncio.run(main())
