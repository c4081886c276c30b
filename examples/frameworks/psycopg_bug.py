"""A shop's report with asyncio and psycopg 3: one task per user, one connection per task, all at once."""

import asyncio
import os

import psycopg

USERS = range(1, 41)
# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = %s"


async def load_cars(user: int) -> int:
    async with await psycopg.AsyncConnection.connect(os.environ["SHOP_URL"]) as connection:
        totals = await connection.execute(CARS, [user])
        [total] = await totals.fetchone()
        return total


async def main() -> None:
    report = await asyncio.gather(*(load_cars(user) for user in USERS), return_exceptions=True)
    loaded = [total for total in report if isinstance(total, int)]
    print(f"loaded {len(loaded)} of {len(USERS)} users")


if __name__ == "__main__":
    asyncio.run(main())
