"""Tasks that run nothing but the library's own connect: the line that started each task has opened its connection.

source: MagicStack/asyncpg#1143
needs: postgres
"""

import asyncio
import os

import asyncpg
import psycopg

DSN = os.environ["DSN"]
kept = []


async def load_cars():
    # opened: left-open error x3 by cars
    kept.extend(await asyncio.gather(*(asyncpg.connect(DSN) for _ in range(3))))  # spawned: cars
    # opened: left-open error x2 by users
    tasks = [asyncio.create_task(psycopg.AsyncConnection.connect(DSN)) for _ in range(2)]  # spawned: users
    kept.extend([await task for task in tasks])
    # opened: left-open error x2 by main
    kept.extend([await asyncpg.connect(DSN) for _ in range(2)])


async def main():
    await load_cars()


asyncio.run(main())  # spawned: main
