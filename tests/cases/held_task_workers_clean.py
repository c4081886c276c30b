"""Three tasks work off a queue, each with a connection of its own, and the queue is empty for a while.

source: coleifer/peewee#829
needs: postgres
settings: HELD_TOO_LONG=0.5 EVERY=0.1
python: 3.11
"""

import asyncio
import os

import asyncpg

WORKERS = 3


async def work(jobs):
    connection = await asyncpg.connect(os.environ["DSN"])
    try:
        while (job := await jobs.get()) is not None:
            await connection.fetchval("SELECT $1::int", job)
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def main():
    jobs = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work(jobs))
        for job in range(12):
            jobs.put_nowait(job)
        await asyncio.sleep(1.5)
        for job in [*range(12), *[None] * WORKERS]:
            jobs.put_nowait(job)


asyncio.run(main())
