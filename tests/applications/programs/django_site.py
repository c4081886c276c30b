"""A Django site in one file: sessions and a table of its own, served as WSGI or ASGI; `migrate` as a command."""

import asyncio
import os
import sys
import time

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

if DSN := os.environ.get("DSN", ""):
    from urllib.parse import urlsplit

    url = urlsplit(DSN)
    address = {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:] or "postgres", "USER": url.username}
    address |= {"PASSWORD": url.password or "", "HOST": url.hostname, "PORT": url.port}
else:
    address = {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}

settings.configure(
    SECRET_KEY="of a test",  # noqa: S106
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    DATABASES={"default": address | {"CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0"))}},
    USE_TZ=True,
)
django.setup()

from django.contrib.sessions.models import Session


def count(request):
    """Count the sessions, in the server's thread or asgiref's."""
    request.session["seen"] = request.session.get("seen", 0) + 1
    time.sleep(0.05)
    return HttpResponse(str(Session.objects.count()))


async def count_async(request):
    """Count the sessions with the ORM's asynchronous interface."""
    await asyncio.sleep(0.05)
    return HttpResponse(str(await Session.objects.acount()))


urlpatterns = [path("count", count), path("count-async", count_async)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    wsgi, asgi = get_wsgi_application(), get_asgi_application()
