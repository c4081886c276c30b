"""Two tasks take the same row with NOWAIT; a third has a transaction open on another table.

source: dstackai/dstack#2379
needs: postgres
"""

import asyncio
import os

import asyncpg

DSN = os.environ["DSN"]


async def work(sql, begun, done):
    connection = await asyncpg.connect(DSN)  # opened: locked error x2 by work
    async with connection.transaction():
        await connection.execute(sql)
        begun.set()
        await done.wait()
    await connection.close()


async def main():
    setup = await asyncpg.connect(DSN)
    await setup.execute("CREATE TABLE IF NOT EXISTS jobs_of_dstack (id integer)")
    await setup.execute("INSERT INTO jobs_of_dstack VALUES (1)")
    done, tasks = asyncio.Event(), []
    for sql in ("SELECT 1", "SELECT * FROM jobs_of_dstack FOR UPDATE"):
        begun = asyncio.Event()
        tasks.append(asyncio.create_task(work(sql, begun, done)))  # spawned: work
        await begun.wait()
    try:
        await setup.execute("SELECT * FROM jobs_of_dstack FOR UPDATE NOWAIT")
    except asyncpg.LockNotAvailableError as error:
        print(error)
    done.set()
    await asyncio.gather(*tasks)
    await setup.execute("DROP TABLE jobs_of_dstack")
    await setup.close()


asyncio.run(main())
