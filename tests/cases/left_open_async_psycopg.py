"""Tasks keep their psycopg 3 connections in a registry, and the loop ends before anyone closes them.

source: plone/guillotina#1133
needs: postgres
"""

import asyncio
import os

import psycopg

DSN = os.environ["DSN"]
sockets = {}


async def greet(client):
    connection = await psycopg.AsyncConnection.connect(DSN)  # opened: left-open error x3 by greet
    sockets[client] = connection
    await connection.execute("SELECT %s", [client])
    await connection.commit()


async def main():
    for client in ("ann", "ben", "eve"):
        await asyncio.create_task(greet(client))  # spawned: greet


asyncio.run(main())
