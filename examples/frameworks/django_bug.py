"""A shop's dashboard: a thread for each user, and Django opens a connection for each thread."""

import os
import threading

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import models
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_FILE"]}},
)
django.setup()


class Car(models.Model):  # noqa: DJ008 (no page shows one)
    owner_id = models.IntegerField()
    price = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "cars"


def load_cars(user: int, report: dict[int, int]) -> None:
    report[user] = sum(car.price for car in Car.objects.filter(owner_id=user))


def dashboard(_: HttpRequest) -> JsonResponse:
    report: dict[int, int] = {}
    threads = [threading.Thread(target=load_cars, args=(user, report)) for user in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return JsonResponse(report)


urlpatterns = [path("dashboard", dashboard)]
application = get_wsgi_application()
