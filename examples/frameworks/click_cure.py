"""The cure of click_bug.py: one connection, closed at the end, and the database does the merging."""

import os
from contextlib import closing

import click
import psycopg2


@click.command()
@click.option("--users", type=int, default=25, show_default=True)
@click.option("--top", type=int, default=3, show_default=True)
def most_valuable(users: int, top: int) -> None:
    with closing(psycopg2.connect(os.environ["SHOP_URL"])) as connection, connection.cursor() as cars:
        cars.execute(
            "SELECT price, id, owner_id FROM cars WHERE owner_id <= %s ORDER BY price DESC, id LIMIT %s",
            [users, top],
        )
        for price, car, owner in cars:
            click.echo(f"car {car} of user {owner}: {price}")


if __name__ == "__main__":
    most_valuable()
