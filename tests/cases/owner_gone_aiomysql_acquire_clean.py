"""Handlers borrow from an aiomysql pool in a block; the pool ends with the program.

source: aio-libs/aiomysql#553
needs: mariadb
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os
from urllib.parse import urlsplit

import aiomysql

AT = urlsplit(os.environ["DSN"])


async def handle(client, pool):
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SELECT %s", (client,))
        return await cursor.fetchone()


async def main():
    async with aiomysql.create_pool(
        host=AT.hostname, port=AT.port, user=AT.username, db=AT.path[1:], minsize=1, maxsize=5
    ) as pool:
        await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))
        await asyncio.sleep(1.2)


asyncio.run(main())
