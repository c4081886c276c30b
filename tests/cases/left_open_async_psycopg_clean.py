"""The same tasks use the connection's own async with, which closes.

source: plone/guillotina#1133
needs: postgres
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]


async def greet(client):
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        await connection.execute("SELECT %s", [client])


async def main():
    for client in ("ann", "ben", "eve"):
        await asyncio.create_task(greet(client))


asyncio.run(main())
