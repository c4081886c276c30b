"""A shop's pages under `gunicorn --preload`: a connection from before the fork, used by all workers."""

import os

import psycopg2
from flask import Flask

app = Flask(__name__)
database = psycopg2.connect(os.environ["SHOP_URL"])


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    with database, database.cursor() as cursor:
        cursor.execute("SELECT id, price FROM cars WHERE owner_id = %s", [user])
        return dict(cursor)
