"""`WHOHOLDS=1 gunicorn django_app:application`: each request is a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from garage import cars_of, name_of

if TYPE_CHECKING:
    from django.http import HttpRequest

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["whoholds.scopes.django.ScopeMiddleware"],
)
django.setup()


def show_user(_request: HttpRequest, user: int) -> HttpResponse:
    return HttpResponse(name_of(user))


def show_cars(_request: HttpRequest, user: int) -> HttpResponse:
    return HttpResponse(", ".join(cars_of(user)))


urlpatterns = [path("users/<int:user>", show_user), path("users/<int:user>/cars", show_cars)]
application = get_wsgi_application()
