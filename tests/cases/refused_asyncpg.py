"""asyncpg is told that the role has too many connections.

source: python-gino/gino#70
needs: postgres, limit=4
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def work(connected, done):
    connection = await asyncpg.connect(DSN)  # opened: refused error x4 of 4 by work
    connected.release()
    await done.wait()
    await connection.close()


async def main():
    connected, done = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(work(connected, done)) for _ in range(4)]  # spawned: work
    for _ in tasks:
        await connected.acquire()
    try:
        await asyncpg.connect(DSN)
    except asyncpg.TooManyConnectionsError as error:
        print(error)
    done.set()
    await asyncio.gather(*tasks)


asyncio.run(main())
