"""A shop's command line: the most valuable cars, from one cursor per user, each on its own connection."""

import heapq
import os
from itertools import islice

import click
import psycopg2
from psycopg2.extensions import cursor


def cars_of(user: int) -> cursor:
    cars = psycopg2.connect(os.environ["SHOP_URL"]).cursor()
    cars.execute("SELECT -price, id, owner_id FROM cars WHERE owner_id = %s ORDER BY 1, 2", [user])
    return cars


@click.command()
@click.option("--users", type=int, default=25, show_default=True)
@click.option("--top", type=int, default=3, show_default=True)
def most_valuable(users: int, top: int) -> None:
    merged = heapq.merge(*[cars_of(user) for user in range(1, users + 1)])
    for price, car, owner in islice(merged, top):
        click.echo(f"car {car} of user {owner}: {-price}")


if __name__ == "__main__":
    most_valuable()
