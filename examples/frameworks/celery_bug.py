"""A shop's background jobs: one connection, opened before the worker forks, used by all its children."""

import os

import psycopg2
from celery import Celery

app = Celery("shop")
app.config_from_object("celery_settings")
database = psycopg2.connect(os.environ["SHOP_URL"])


@app.task(name="shop.value_of_cars")
def value_of_cars(user: int) -> int:
    with database, database.cursor() as cursor:
        cursor.execute("SELECT sum(price) FROM cars WHERE owner_id = %s", [user])
        return cursor.fetchone()[0]
