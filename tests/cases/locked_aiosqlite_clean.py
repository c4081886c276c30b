"""The task that is locked out sleeps and tries again.

source: omnilib/aiosqlite#251
"""

import asyncio

import aiosqlite


async def load(written, failed):
    async with aiosqlite.connect("shop.db") as connection:
        await connection.execute("INSERT INTO cars VALUES (1)")
        written.set()
        await failed.wait()
        await connection.commit()


async def save(failed):
    async with aiosqlite.connect("shop.db", timeout=0.01) as connection:
        while True:
            try:
                await connection.execute("DELETE FROM cars")
            except aiosqlite.OperationalError:
                failed.set()
                await asyncio.sleep(0.05)
            else:
                break
        await connection.commit()
        for number in range(10):
            await connection.execute(f"SELECT {number}")


async def main():
    async with aiosqlite.connect("shop.db") as connection:
        await connection.execute("CREATE TABLE cars (id)")
    written, failed = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(load(written, failed))
    await written.wait()
    await save(failed)
    await task


asyncio.run(main())
