"""A subscriber for each channel waits for notifications, and has read what it missed before.

source: MagicStack/asyncpg#567
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def subscriber(channel, heard):
    connection = await asyncpg.connect(DSN)
    await connection.add_listener(channel, lambda *notification: heard.put_nowait(notification))
    for number in range(7):
        await connection.fetchval("SELECT $1::integer", number)
    return connection


async def main():
    heard = asyncio.Queue()
    subscribers = [await subscriber(channel, heard) for channel in ("cars", "bikes")]
    await asyncio.sleep(1.2)
    for connection in subscribers:
        await connection.close()


asyncio.run(main())
