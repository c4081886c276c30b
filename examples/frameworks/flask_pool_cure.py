"""The cure of flask_pool_bug.py: the application's teardown gives the connection back to the pool."""

import atexit
import os

from flask import Flask, g
from psycopg2.extensions import connection
from psycopg2.pool import ThreadedConnectionPool

app = Flask(__name__)
pool = ThreadedConnectionPool(1, 5, os.environ["SHOP_URL"])
atexit.register(pool.closeall)


def database() -> connection:
    if "database" not in g:
        g.database = pool.getconn()
    return g.database


@app.teardown_appcontext
def give_back(_: BaseException | None) -> None:
    if "database" in g:
        pool.putconn(g.pop("database"))


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    with database().cursor() as cursor:
        cursor.execute("SELECT id, price FROM cars WHERE owner_id = %s", [user])
        return dict(cursor)
