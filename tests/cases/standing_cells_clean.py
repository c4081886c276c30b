"""A notebook runs each cell in a task of its own, and the user runs the one that connects again after a pause.

source: ploomber/jupysql#934
settings: HELD_TOO_LONG=0.4 OWNER_GONE=0.3 EVERY=0.1
"""

import asyncio

CELL = """
import sqlite3
connection = sqlite3.connect("notes.db")
"""
HELPER = """
def connect(name):
    return sqlite3.connect(name)
left, right = connect("notes.db"), connect("notes.db")
"""
names = {}


async def run(text, number):
    exec(compile(text, f"<ipython-input-{number}>", "exec"), names)  # noqa: S102 (as a kernel does)


async def main():
    for _ in range(2):
        await asyncio.create_task(run(CELL, 1))
        await asyncio.sleep(0.7)
    await asyncio.create_task(run(HELPER, 2))
    await asyncio.sleep(1)
    names["left"].close()
    names["right"].close()


asyncio.run(main())
