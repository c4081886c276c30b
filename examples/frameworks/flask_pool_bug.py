"""A shop's pages over a pool: each request takes a connection from it, and nobody gives one back."""

import os

from flask import Flask, g
from psycopg2.extensions import connection
from psycopg2.pool import ThreadedConnectionPool

app = Flask(__name__)
pool = ThreadedConnectionPool(1, 5, os.environ["SHOP_URL"])


def database() -> connection:
    if "database" not in g:
        g.database = pool.getconn()
    return g.database


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    with database().cursor() as cursor:
        cursor.execute("SELECT id, price FROM cars WHERE owner_id = %s", [user])
        return dict(cursor)
