"""FastAPI with synchronous endpoints, which run in anyio's threads; diskcache keeps a connection in each of them."""

import time

import diskcache
from fastapi import FastAPI

cache = diskcache.Cache("cache")
app = FastAPI()


@app.get("/count")
def count() -> float:
    """Give how many asked, slowly enough that requests overlap."""
    time.sleep(0.05)
    return cache.incr("count", default=0)
