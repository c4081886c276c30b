"""The cure of preload_bug.py: each worker opens its own connection, at its first request."""

import atexit
import os
from functools import cache

import psycopg2
from flask import Flask
from psycopg2.extensions import connection

app = Flask(__name__)


@cache
def database() -> connection:
    opened = psycopg2.connect(os.environ["SHOP_URL"])
    atexit.register(opened.close)
    return opened


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    with database() as transaction, transaction.cursor() as cursor:
        cursor.execute("SELECT id, price FROM cars WHERE owner_id = %s", [user])
        return dict(cursor)
