"""Settings of the site that `wagtail start site` makes: the server's port, and PostgreSQL where DSN names one."""

import os
from urllib.parse import urlsplit

from site_.settings.dev import *  # noqa: F403 - how Django's settings are extended

ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = False
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"  # noqa: F405
if DSN := os.environ.get("DSN", ""):
    url = urlsplit(DSN)
    address = {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:] or "postgres", "USER": url.username}
    address |= {"PASSWORD": url.password or "", "HOST": url.hostname, "PORT": url.port}
    DATABASES = {"default": address | {"CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0"))}}
