"""An aiopg pool opens 22 connections at its start, as its minsize says.

source: aio-libs/aiopg#330
needs: postgres
"""

import asyncio
import os

import aiopg


async def main():
    async with aiopg.create_pool(os.environ["DSN"], minsize=22, maxsize=22) as pool:
        assert pool.freesize == 22


asyncio.run(main())
