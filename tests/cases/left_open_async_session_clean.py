"""The same dependency closes each session, and the engine is disposed of.

source: fastapi/full-stack-fastapi-template#459
needs: postgres
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DSN"].replace("postgresql:", "postgresql+asyncpg:"))


async def request(number):
    async with AsyncSession(engine) as session:
        return (await session.execute(text("SELECT CAST(:number AS int)"), {"number": number})).scalar()


async def main():
    print(await asyncio.gather(*(request(number) for number in range(3))))
    await engine.dispose()


asyncio.run(main())
