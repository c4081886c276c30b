"""The cure of flask_bug.py: the application's teardown closes the connection that the request has opened."""

import os
import sqlite3

from flask import Flask, g

app = Flask(__name__)


def database() -> sqlite3.Connection:
    if "database" not in g:
        g.database = sqlite3.connect(os.environ["SHOP_FILE"])
    return g.database


@app.teardown_appcontext
def close_database(_: BaseException | None) -> None:
    if "database" in g:
        g.pop("database").close()


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    return dict(database().execute("SELECT id, price FROM cars WHERE owner_id = ?", [user]))
