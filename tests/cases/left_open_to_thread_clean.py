"""Threads get the library's `connect` itself, for a reader and a writer that live as long as the program.

source: omnilib/aiosqlite#235
settings: OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio
import sqlite3
import time

kept = {}


async def main():
    # opened: left-open info x1 by reader
    kept["reader"] = await asyncio.to_thread(sqlite3.connect, "cars.db", check_same_thread=False)  # spawned: reader
    # opened: left-open info x1 by writer
    kept["writer"] = await asyncio.to_thread(sqlite3.connect, "cars.db", check_same_thread=False)  # spawned: writer


asyncio.run(main())
time.sleep(0.6)
