"""A shop's report with asyncio and asyncpg: one task per user, one connection per task, all at once."""

import asyncio
import os

import asyncpg

USERS = range(1, 41)
# pg_sleep stands for what makes such a report slow in a real shop.
CARS = "SELECT sum(price) FROM cars, pg_sleep(0.5) WHERE owner_id = $1"


async def load_cars(user: int) -> int:
    connection = await asyncpg.connect(os.environ["SHOP_URL"])
    try:
        return await connection.fetchval(CARS, user)
    finally:
        await connection.close()


async def main() -> None:
    report = await asyncio.gather(*(load_cars(user) for user in USERS), return_exceptions=True)
    loaded = [total for total in report if isinstance(total, int)]
    print(f"loaded {len(loaded)} of {len(USERS)} users")


if __name__ == "__main__":
    asyncio.run(main())
