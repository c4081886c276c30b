"""A shop's pages: each request opens a connection when it first needs one, and nobody closes it."""

import os
import sqlite3

from flask import Flask, g

app = Flask(__name__)


def database() -> sqlite3.Connection:
    if "database" not in g:
        g.database = sqlite3.connect(os.environ["SHOP_FILE"])
    return g.database


@app.get("/users/<int:user>/cars")
def cars(user: int) -> dict[int, int]:
    return dict(database().execute("SELECT id, price FROM cars WHERE owner_id = ?", [user]))
