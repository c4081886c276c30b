"""A dependency hands out AsyncSessions and forgets them; three requests leave three loans.

source: fastapi/full-stack-fastapi-template#459
needs: postgres
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DSN"].replace("postgresql:", "postgresql+asyncpg:"))
sessions = []


async def request(number):
    session = AsyncSession(engine)
    sessions.append(session)
    # opened: left-open error x3 by request
    return (await session.execute(text("SELECT CAST(:number AS int)"), {"number": number})).scalar()


async def main():
    print(await asyncio.gather(*(request(number) for number in range(3))))  # spawned: request


asyncio.run(main())
