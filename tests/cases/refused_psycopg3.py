"""A psycopg 3 program opens a connection per task until its role may have no more.

source: python-gino/gino#70
needs: postgres, limit=4
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def work(connected, done):
    async with await psycopg.AsyncConnection.connect(DSN):  # opened: refused error x4 of 4 by work
        connected.release()
        await done.wait()


async def main():
    connected, done = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(work(connected, done)) for _ in range(4)]  # spawned: work
    for _ in tasks:
        await connected.acquire()
    try:
        await psycopg.AsyncConnection.connect(DSN)
    except psycopg.OperationalError as error:
        print(error)
    done.set()
    await asyncio.gather(*tasks)


asyncio.run(main())
