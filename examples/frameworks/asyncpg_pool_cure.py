"""The cure of asyncpg_pool_bug.py: `async with` gives the connection back on every path."""

import asyncio
import os

import asyncpg

GUESTS, USERS = [0] * 4, range(1, 9)
CARS = "SELECT sum(price) FROM cars WHERE owner_id = $1"


async def value_of_cars(pool: asyncpg.Pool, user: int) -> int:
    async with pool.acquire() as connection:
        total = await connection.fetchval(CARS, user)
        if total is None:  # a guest has no cars
            return 0
        return total


async def main() -> None:
    async with asyncpg.create_pool(os.environ["SHOP_URL"], min_size=1, max_size=4) as pool:
        requests = [asyncio.create_task(value_of_cars(pool, user)) for user in (*GUESTS, *USERS)]
        done, waiting = await asyncio.wait(requests, timeout=3)
    print(f"{len(done)} requests answered, {len(waiting)} wait")


if __name__ == "__main__":
    asyncio.run(main())
