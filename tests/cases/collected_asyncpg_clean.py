"""A task drops its asyncpg connection, which asyncpg then closes.

source: MagicStack/asyncpg#1265
needs: postgres
"""

import asyncio
import os
import warnings

import asyncpg

warnings.simplefilter("ignore", ResourceWarning)


async def ask():
    connection = await asyncpg.connect(os.environ["DSN"])  # opened: collected-open info x2 by main
    return await connection.fetchval("SELECT 1")


async def main():
    for _ in range(2):
        print(await ask())


asyncio.run(main())  # spawned: main
