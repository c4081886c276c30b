"""The same watchers close in a finally clause, also when they are cancelled.

source: sqlalchemy/sqlalchemy#6652
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def watch():
    connection = await psycopg.AsyncConnection.connect(DSN, autocommit=True)
    try:
        while True:
            await connection.execute("SELECT 1")
            await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def main():
    tasks = [asyncio.create_task(watch()) for _ in range(3)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(1.2)


asyncio.run(main())
