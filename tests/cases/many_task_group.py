"""A TaskGroup starts one task per document, each with its own connection.

source: sqlalchemy/sqlalchemy#12077
needs: postgres
settings: TOO_MANY=10
python: 3.11
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
everyone = asyncio.Barrier(11)


async def index(document):
    # opened: too-many-at-once warning x11 by index
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        await everyone.wait()
        await connection.execute("SELECT %s", [document])


async def main():
    async with asyncio.TaskGroup() as group:
        for document in range(11):
            group.create_task(index(document))  # spawned: index


asyncio.run(main())
