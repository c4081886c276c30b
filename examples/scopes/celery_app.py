"""`WHOHOLDS=1 celery --app celery_app worker --pool solo`: each task is a scope."""

from __future__ import annotations

import os

from celery import Celery
from garage import cars_of, name_of

from whoholds.scopes import celery

folder = os.environ.get("GARAGE_QUEUE", ".")
app = Celery("garage", broker="filesystem://", backend=f"file://{folder}")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": folder,
}
celery.connect()


@app.task(name="garage.user")
def user(number: int) -> str:
    return name_of(number)


@app.task(name="garage.cars")
def cars(number: int) -> list[str]:
    return cars_of(number)
