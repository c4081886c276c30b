"""The same two queries, one after the other.

source: encode/databases#81
needs: postgres
settings: EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def ask(connection, turn):
    async with turn:
        return await connection.fetchval("SELECT 1 FROM pg_sleep(0.2)")


async def main():
    connection = await asyncpg.connect(os.environ["DSN"])
    turn = asyncio.Lock()
    print(await asyncio.gather(ask(connection, turn), ask(connection, turn)))
    await connection.close()


asyncio.run(main())
