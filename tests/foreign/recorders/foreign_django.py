"""Django settings whose test runner records; the database is told by FOREIGN_DJANGO (`sqlite` or an URL)."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import foreign_lines
from django.test.runner import DiscoverRunner
from foreign_unittest import Recording, tests_of

_url = urlsplit(os.environ["FOREIGN_DJANGO"])
_database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3"}
if _url.scheme == "postgresql":
    _database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _url.hostname,
        "PORT": _url.port,
        "USER": _url.username,
        "NAME": _url.path[1:],
    }

DATABASES = {
    "default": {**_database},
    "other": {**_database, **({"NAME": "other"} if _url.scheme == "postgresql" else {})},
}
SECRET_KEY = "of the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "foreign_django.Runner"


class Runner(DiscoverRunner):
    """Django's own runner, with our result and our choice of tests."""

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        suite = super().build_suite(*args, **kwargs)
        return self.test_suite([test for test in tests_of(suite) if foreign_lines.wanted(test.id())])

    def get_resultclass(self) -> type[Recording]:
        return Recording

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            foreign_lines.done()
