"""gather runs two queries on one asyncpg connection, and the second is told that another operation is in
progress.

source: encode/databases#81
needs: postgres
settings: EVERY=0.1
"""

import asyncio
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(os.environ["DSN"])  # opened: shared-at-once warning x2 by main
    query = "SELECT 1 FROM pg_sleep(0.4)"
    queries = [connection.fetchval(query) for _ in range(2)]
    print(await asyncio.gather(*queries, return_exceptions=True))
    await connection.close()


asyncio.run(main())  # spawned: main
