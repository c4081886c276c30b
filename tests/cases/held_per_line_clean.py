"""A nightly job's connections may be held for longer, and a threshold for its line says so.

source: LearningCircuit/local-deep-research#6387
needs: postgres
settings: HELD_TOO_LONG=0.5,600@*held_per_line_clean.py EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def upload():
    async with await psycopg.AsyncConnection.connect(DSN, autocommit=True):
        await asyncio.sleep(1.2)


async def main():
    await asyncio.gather(upload(), upload(), upload())


asyncio.run(main())
