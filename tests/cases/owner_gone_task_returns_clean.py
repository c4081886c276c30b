"""Three tasks connect side by side and return their connections, which the main task then uses for long.

source: MagicStack/asyncpg#1265
needs: postgres
settings: OWNER_GONE=0.5 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def connect():
    return await psycopg.AsyncConnection.connect(DSN, autocommit=True)


async def main():
    connections = await asyncio.gather(connect(), connect(), connect())
    for number in range(12):
        for connection in connections:
            await connection.execute("SELECT %s", [number])
        await asyncio.sleep(0.1)
    for connection in connections:
        await connection.close()


asyncio.run(main())
