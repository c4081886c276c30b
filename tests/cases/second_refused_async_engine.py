"""Two tasks have a session each, and each opens a second one of an engine that lends two.

source: numerique-gouv/ami-notifications-api#375
needs: postgres
python: 3.11
"""

import asyncio
import os

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DSN"].replace("postgresql:", "postgresql+asyncpg:"), pool_size=2, max_overflow=0, pool_timeout=0.3
)
everybody = asyncio.Barrier(2)


async def audit():
    async with engine.connect() as connection:  # opened: second-while-holding warning x2 by request
        await connection.execute(text("SELECT 1"))


async def request():
    async with engine.connect() as connection:  # opened: refused error x2 by request
        await connection.execute(text("SELECT 1"))
        await everybody.wait()
        try:
            await audit()
        except exc.TimeoutError:
            await everybody.wait()


async def main():
    await asyncio.gather(*(asyncio.create_task(request()) for _ in range(2)))  # spawned: request
    await engine.dispose()


asyncio.run(main())
