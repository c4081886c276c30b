"""Endpoints run in anyio's worker threads, and each keeps the connection of its request in a list.

source: fastapi/fastapi#3205
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import sqlite3

import anyio
import anyio.to_thread

kept = []


def endpoint():
    # opened: owner-gone error x3 by request; left-open error x3 by request
    connection = sqlite3.connect("cache.db", check_same_thread=False)
    kept.append(connection)
    return connection.execute("SELECT 1").fetchone()


async def request():
    return await anyio.to_thread.run_sync(endpoint)


async def main():
    for _ in range(3):
        await asyncio.create_task(request())  # spawned: request
    await asyncio.sleep(1)


anyio.run(main)
