"""`WHOHOLDS=1 gunicorn flask_app:app`: each request is a scope."""

from __future__ import annotations

from flask import Flask
from garage import cars_of, name_of

from whoholds.scopes.wsgi import ScopeMiddleware

app = Flask(__name__)
app.wsgi_app = ScopeMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way


@app.get("/users/<int:user>")
def show_user(user: int) -> str:
    return name_of(user)


@app.get("/users/<int:user>/cars")
def show_cars(user: int) -> list[str]:
    return cars_of(user)
