"""A task awaits something else in the middle of its transaction; another task's statement gives up waiting.

source: omnilib/aiosqlite#251
"""

import asyncio

import aiosqlite


async def load(written, answered):
    async with aiosqlite.connect("shop.db") as connection:  # opened: locked error x1 by load
        await connection.execute("INSERT INTO cars VALUES (1)")
        written.set()
        await answered.wait()
        await connection.commit()


async def save():
    async with aiosqlite.connect("shop.db", timeout=0.05) as connection:
        await connection.execute("DELETE FROM cars")
        await connection.commit()


async def main():
    async with aiosqlite.connect("shop.db") as connection:
        await connection.execute("CREATE TABLE cars (id)")
    written, answered = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(load(written, answered))  # spawned: load
    await written.wait()
    try:
        await save()
    except aiosqlite.OperationalError as error:
        print(error)
    answered.set()
    await task


asyncio.run(main())
