"""Two tasks LISTEN, each on a connection of its own, and nothing happens for a while.

source: malthe/pq#41
needs: postgres
settings: HELD_TOO_LONG=0.4 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def listen(channel):
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
        await connection.execute(f"LISTEN {channel}")
        async for notify in connection.notifies(timeout=1.4):
            print(notify.payload)


async def main():
    await asyncio.gather(listen("jobs"), listen("mails"))


asyncio.run(main())
