"""Threads get the library's `connect` itself, and the program keeps all that they open.

source: omnilib/aiosqlite#235
needs: postgres
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

DSN = os.environ["DSN"]
kept = []


async def main():
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    for _ in range(2):
        # opened: owner-gone error x2 by replica on sqlite; left-open error x2 by replica on sqlite
        kept.append(await asyncio.to_thread(sqlite3.connect, "cars.db"))  # spawned: replica


asyncio.run(main())
with ThreadPoolExecutor(1) as executor:
    # opened: left-open error x3 by shards
    shards = [executor.submit(psycopg2.connect, DSN) for _ in range(3)]  # spawned: shards
    kept += [shard.result() for shard in shards]
time.sleep(0.6)
