"""A shop's prices over a pool of asyncpg: an early return forgets `release`, and later requests wait for ever."""

import asyncio
import os

import asyncpg

GUESTS, USERS = [0] * 4, range(1, 9)
CARS = "SELECT sum(price) FROM cars WHERE owner_id = $1"


async def value_of_cars(pool: asyncpg.Pool, user: int) -> int:
    connection = await pool.acquire()
    total = await connection.fetchval(CARS, user)
    if total is None:  # a guest has no cars
        return 0
    await pool.release(connection)
    return total


async def main() -> None:
    pool = await asyncpg.create_pool(os.environ["SHOP_URL"], min_size=1, max_size=4)
    requests = [asyncio.create_task(value_of_cars(pool, user)) for user in (*GUESTS, *USERS)]
    done, waiting = await asyncio.wait(requests, timeout=3)  # a server would go on waiting
    print(f"{len(done)} requests answered, {len(waiting)} wait")
    for request in waiting:
        request.cancel()
    pool.terminate()


if __name__ == "__main__":
    asyncio.run(main())
