"""The cure of psycopg_bug.py: a semaphore lets eight tasks connect at once; the others wait their turn."""

import asyncio
import os

import psycopg

USERS = range(1, 41)
# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = %s"


async def load_cars(user: int, turn: asyncio.Semaphore) -> int:
    async with turn, await psycopg.AsyncConnection.connect(os.environ["SHOP_URL"]) as connection:
        totals = await connection.execute(CARS, [user])
        [total] = await totals.fetchone()
        return total


async def main() -> None:
    turn = asyncio.Semaphore(8)
    report = await asyncio.gather(*(load_cars(user, turn) for user in USERS))
    print(f"loaded {len(report)} of {len(USERS)} users")


if __name__ == "__main__":
    asyncio.run(main())
