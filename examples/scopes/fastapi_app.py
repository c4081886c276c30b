"""`WHOHOLDS=1 uvicorn fastapi_app:app`: each request is a scope."""

from __future__ import annotations

from fastapi import FastAPI
from garage import cars_of, name_of

from whoholds.scopes.asgi import ScopeMiddleware

app = FastAPI()
app.add_middleware(ScopeMiddleware)


@app.get("/users/{user}")
def show_user(user: int) -> str:
    return name_of(user)


@app.get("/users/{user}/cars")
async def show_cars(user: int) -> list[str]:
    return cars_of(user)
