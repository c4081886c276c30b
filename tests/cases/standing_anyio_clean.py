"""Endpoints run in anyio's worker threads, and a cache keeps one connection in each of these for the requests to
come.

source: grantjenks/python-diskcache#295
settings: HELD_TOO_LONG=0.4 OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import sqlite3
import threading
import time

import anyio
import anyio.to_thread

mine = threading.local()


def endpoint():
    if not hasattr(mine, "connection"):
        mine.connection = sqlite3.connect("cache.db")
    time.sleep(0.05)
    return mine.connection.execute("SELECT 1").fetchone()


async def request():
    return await anyio.to_thread.run_sync(endpoint)


async def main():
    for _ in range(3):
        await asyncio.gather(*(asyncio.create_task(request()) for _ in range(2)))
    await asyncio.sleep(1.2)


anyio.run(main)
