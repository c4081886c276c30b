"""Watcher tasks are cancelled when their clients leave; their connections stay in a registry, still open.

source: sqlalchemy/sqlalchemy#6652
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
registry = {}


async def watch(client):
    # opened: owner-gone error x3 by watch
    registry[client] = await psycopg.AsyncConnection.connect(DSN, autocommit=True)
    while True:
        await registry[client].execute("SELECT 1")
        await asyncio.sleep(0.05)


async def main():
    tasks = [asyncio.create_task(watch(client)) for client in ("ann", "ben", "eve")]  # spawned: watch
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(1.2)
    for connection in registry.values():
        await connection.close()


asyncio.run(main())
