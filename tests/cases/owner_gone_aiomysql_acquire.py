"""Handlers acquire from an aiomysql pool and never release; the pool closes what they hold as the program ends.

source: aio-libs/aiomysql#553
needs: mariadb
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os
from urllib.parse import urlsplit

import aiomysql

AT = urlsplit(os.environ["DSN"])
lent = []


async def handle(client, pool):
    connection = await pool.acquire()  # opened: owner-gone error x3 by handle
    lent.append(connection)
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT %s", (client,))
        return await cursor.fetchone()


async def main():
    pool = await aiomysql.create_pool(host=AT.hostname, port=AT.port, user=AT.username, db=AT.path[1:], maxsize=5)
    await asyncio.gather(*(handle(client, pool) for client in ("ann", "ben", "eve")))  # spawned: handle
    await asyncio.sleep(1.2)
    pool.terminate()
    await pool.wait_closed()


asyncio.run(main())
