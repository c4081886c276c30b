"""FastAPI whose synchronous endpoint keeps a connection for each request: the leak beside fastapi_diskcache."""

import sqlite3

from fastapi import FastAPI

app = FastAPI()
kept = []


@app.get("/count")
def count() -> int:
    """Open a connection and never close it."""
    kept.append(sqlite3.connect("shop.db", check_same_thread=False))
    return kept[-1].execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
