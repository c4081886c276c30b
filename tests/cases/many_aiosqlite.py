"""Each task of a gather opens the same file through aiosqlite, and so starts a thread besides.

source: topoteretes/cognee#4328
settings: TOO_MANY=10
"""

import asyncio

import aiosqlite

PAGES = range(12)
loaded = []


async def save(page, everyone):
    async with aiosqlite.connect("pages.db") as connection:  # opened: too-many-at-once warning x12 by save
        loaded.append(page)
        if len(loaded) == len(PAGES):
            everyone.set()
        await everyone.wait()
        await connection.execute("SELECT ?", [page])


async def main():
    everyone = asyncio.Event()
    await asyncio.gather(*[save(page, everyone) for page in PAGES])  # spawned: save


asyncio.run(main())
