"""The cure of celery_bug.py: each child opens its own connection after the fork, and closes it at its end."""

import os

import psycopg2
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown
from psycopg2.extensions import connection

app = Celery("shop")
app.config_from_object("celery_settings")
database: connection


@worker_process_init.connect
def open_database(**_: object) -> None:
    global database  # noqa: PLW0603 (one for each child, as Celery's own documentation does it)
    database = psycopg2.connect(os.environ["SHOP_URL"])


@worker_process_shutdown.connect
def close_database(**_: object) -> None:
    database.close()


@app.task(name="shop.value_of_cars")
def value_of_cars(user: int) -> int:
    with database, database.cursor() as cursor:
        cursor.execute("SELECT sum(price) FROM cars WHERE owner_id = %s", [user])
        return cursor.fetchone()[0]
