"""A task for each listener asks its question once, and keeps its connection for as long as the listener stays.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def serve(listener):
    # opened: held-too-long warning x3 by serve; given-back info x3 by serve
    connection = await asyncpg.connect(os.environ["DSN"])
    try:
        await connection.fetchval("SELECT $1::int", listener)
        await asyncio.sleep(1.5)
    finally:
        await connection.close()


async def main():
    await asyncio.gather(*(serve(listener) for listener in range(3)))  # spawned: serve


asyncio.run(main())
