"""The cure of asyncpg_bug.py: the tasks share a pool of eight connections."""

import asyncio
import os

import asyncpg

USERS = range(1, 41)
# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = $1"


async def load_cars(pool: asyncpg.Pool, user: int) -> int:
    async with pool.acquire() as connection:
        return await connection.fetchval(CARS, user)


async def main() -> None:
    async with asyncpg.create_pool(os.environ["SHOP_URL"], min_size=1, max_size=8) as pool:
        report = await asyncio.gather(*(load_cars(pool, user) for user in USERS))
    print(f"loaded {len(report)} of {len(USERS)} users")


if __name__ == "__main__":
    asyncio.run(main())
