"""One aiosqlite connection serves all the tasks, one statement after the other.

source: topoteretes/cognee#4328
settings: TOO_MANY=10
"""

import asyncio

import aiosqlite


async def save(page, connection, turn):
    async with turn:
        await connection.execute("SELECT ?", [page])


async def main():
    turn = asyncio.Lock()
    async with aiosqlite.connect("pages.db") as connection:
        await asyncio.gather(*[save(page, connection, turn) for page in range(12)])


asyncio.run(main())
