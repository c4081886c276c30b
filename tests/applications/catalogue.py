"""The applications: how each is started and used, and exactly what whoholds may say of it. One row each."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.applications.environments import ENVIRONMENTS, versions
from tests.applications.running import Said
from tests.foreign.sources import Sdist

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.applications.running import Outcome, Place


@dataclass(frozen=True)
class Application:
    """One row: `use` runs it from start to end in a place; `says` is what whoholds has to say of it, and no more."""

    name: str
    requirements: str
    packages: tuple[str, ...]  # whose versions the table shows
    use: Callable[[Place], Outcome]
    says: frozenset[Said] = field(default_factory=frozenset)
    may_say: frozenset[Said] = field(default_factory=frozenset)  # where it depends on when things happen
    in_ci: bool = False  # soon installed, over within 20 s, and unlike the others that are
    postgres: str = ""  # the variable that names the server, where the application needs one

    def allows(self, came: Outcome) -> bool:
        """Whether exactly what has to be said was said, and a healthy application heard nothing at all."""
        return self.says <= came.said <= self.says | self.may_say and came.printed == bool(came.said)


def _served(place: Place, paths: list[str], *command: object, number: int = signal.SIGTERM) -> Outcome:
    """Start a server, ask for the paths, let it be, ask once more and stop it."""
    place.start(*command)
    place.get(paths[0])
    place.requests(paths)
    place.quiet()
    place.get(paths[0])
    return place.stop(number)


def _uvicorn(place: Place, application: str) -> tuple[object, ...]:
    return ("-m", "uvicorn", application, "--port", place.port, "--log-level", "warning")


def _gunicorn(place: Place, application: str) -> tuple[object, ...]:
    bound = ("--bind", f"127.0.0.1:{place.port}", "--workers", "2", "--threads", "3", "--log-level", "warning")
    return ("-m", "gunicorn", application, *bound)


def _fastapi(place: Place, program: str) -> Outcome:
    return _served(place, ["/count"] * 12, *_uvicorn(place, f"{place.file(program).stem}:app"))


def _fastapi_diskcache(place: Place) -> Outcome:
    return _fastapi(place, "fastapi_diskcache.py")


def _fastapi_leak(place: Place) -> Outcome:
    return _fastapi(place, "fastapi_leak.py")


def _datasette(place: Place) -> Outcome:
    for name in ("shop.db", "stock.db"):
        with contextlib.closing(sqlite3.connect(place.folder / name)) as database, database:
            database.execute("CREATE TABLE cars (id INTEGER PRIMARY KEY, name TEXT)")
            database.executemany("INSERT INTO cars (name) VALUES (?)", [("Amber",), ("Bolt",)])
    paths = ["/", "/shop", "/shop/cars", "/stock/cars.json", "/shop/cars/1", "/shop.json?sql=select+1"]
    command = ("-m", "datasette", "shop.db", "stock.db", "--port", place.port)
    return _served(place, paths * 3, *command, number=signal.SIGINT)


def _django(place: Place, paths: list[str], *command: object) -> Outcome:
    place.run(place.file("django_site.py"), "migrate")
    return _served(place, paths, *command)


def _django_gunicorn(place: Place) -> Outcome:
    place.settings["CONN_MAX_AGE"] = "600"
    return _django(place, ["/count"] * 12, *_gunicorn(place, "django_site:wsgi"))


def _django_asgi(place: Place) -> Outcome:
    return _django(place, ["/count", "/count-async"] * 6, *_uvicorn(place, "django_site:asgi"))


def _django_asgi_persistent(place: Place) -> Outcome:
    place.settings["CONN_MAX_AGE"] = "600"
    return _django_asgi(place)


def _huey(place: Place) -> Outcome:
    place.file("huey_jobs.py")
    place.start("-m", "huey.bin.huey_consumer", "huey_jobs.huey", "-w", "2")
    place.run("huey_jobs.py")
    place.appears("job ", 6)
    place.quiet()
    place.run("huey_jobs.py")
    return place.stop(signal.SIGINT)


def _celery(place: Place) -> Outcome:
    place.file("celery_jobs.py")
    for folder in ("queue", "results", "control"):
        (place.folder / folder).mkdir()
    place.start("-m", "celery", "-A", "celery_jobs", "worker", "--concurrency", "2", "--loglevel", "WARNING")
    place.run("celery_jobs.py", within=120)
    place.quiet()
    place.run("celery_jobs.py", within=120)
    return place.stop()


def _procrastinate(place: Place) -> Outcome:
    jobs = place.file("procrastinate_jobs.py")
    place.run(jobs, "schema")
    place.start("-m", "procrastinate", "--app", "procrastinate_jobs.app", "worker", "--concurrency", "2")
    place.appears("job ", 4)
    place.quiet()
    place.run(jobs)
    place.appears("job ", 8)
    return place.stop()


def _django_q(place: Place) -> Outcome:
    site = place.file("django_q_site.py")
    place.run(site, "migrate")
    place.start(site, "qcluster")
    place.run(site, "jobs")
    place.quiet()
    place.run(site, "jobs")
    return place.stop()


def _wagtail(place: Place, *command: object) -> Outcome:
    place.file("wagtail_settings.py")
    place.settings["DJANGO_SETTINGS_MODULE"] = "wagtail_settings"
    place.run("-m", "wagtail.bin.wagtail", "start", "site_", ".")
    place.run("manage.py", "migrate", within=300)
    return _served(place, ["/", "/admin/login/", "/search/?query=cars"] * 4, *command)


def _wagtail_gunicorn(place: Place) -> Outcome:
    place.settings["CONN_MAX_AGE"] = "600"
    return _wagtail(place, *_gunicorn(place, "site_.wsgi"))


def _wagtail_asgi(place: Place) -> Outcome:
    return _wagtail(place, *_uvicorn(place, "django.core.asgi:get_asgi_application"), "--factory")


def _mlflow(place: Place) -> Outcome:
    runs = place.file("mlflow_runs.py")
    store = ("--backend-store-uri", "sqlite:///mlflow.db", "--default-artifact-root", place.folder / "artifacts")
    place.start("-m", "mlflow", "server", *store, "--port", place.port, "--workers", "1")
    place.get("/health")
    place.run(runs, within=120)
    place.quiet()
    place.run(runs, within=120)
    return place.stop()


def _optuna(place: Place) -> Outcome:
    place.run(place.file("optuna_study.py"), within=120)
    return place.stop()


def _notebook(place: Place) -> Outcome:
    place.run(place.file("notebook_cells.py"), within=180 + place.quiet_s, QUIET_S=place.quiet_s)
    return place.stop()


def _sqlite_utils(place: Place) -> Outcome:
    source = Sdist("sqlite-utils", versions("sqlite-utils")["sqlite-utils"]).unpack(ENVIRONMENTS)
    command = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        source,
        "--whoholds=error",
        source / "tests",
    )
    place.run(*command, within=900, WHOHOLDS="")
    place.appears("nothing found")
    return place.stop()


LEAK: Final = frozenset(
    (
        Said("owner-gone", "error", "fastapi_leak.py:14 count"),
        Said("left-open", "error", "fastapi_leak.py:14 count"),
    )
)

# CONN_MAX_AGE under ASGI: each request's thread keeps a connection that no other request can use
PERSISTENT: Final = frozenset(
    (
        Said("owner-gone", "error", "django_site.py:40 count"),
        Said("owner-gone", "error", "django_site.py:46 count_async"),  # `acount()` runs in asgiref's thread
    )
)

FREED: Final = frozenset(Said("collected-open", "warning", told.opened) for told in PERSISTENT)

# `create_run` calls `get_experiment` inside of its own session: a warning once several requests do at the same time
NESTED: Final = frozenset((Said("second-while-holding", "warning", "utils.py:156 make_managed_session"),))

APPLICATIONS: Final = (
    Application("fastapi-diskcache", "fastapi", ("fastapi", "uvicorn", "diskcache"), _fastapi_diskcache, in_ci=True),
    Application("fastapi-leak", "fastapi", ("fastapi", "uvicorn"), _fastapi_leak, LEAK, in_ci=True),
    Application("datasette", "datasette", ("datasette", "uvicorn"), _datasette, in_ci=True),
    Application("django-gunicorn", "django", ("django", "gunicorn"), _django_gunicorn),
    Application(
        "django-gunicorn-postgresql",
        "django",
        ("django", "gunicorn", "psycopg"),
        _django_gunicorn,
        postgres="DSN",
        in_ci=True,
    ),
    Application("django-asgi", "django", ("django", "uvicorn"), _django_asgi),
    Application(
        "django-asgi-persistent",
        "django",
        ("django", "uvicorn", "psycopg"),
        _django_asgi_persistent,
        PERSISTENT,
        postgres="DSN",
        in_ci=True,
    ),
    Application("huey", "huey", ("huey",), _huey, in_ci=True),
    Application("celery", "celery", ("celery", "psycopg2-binary"), _celery, postgres="DSN"),
    Application("procrastinate", "procrastinate", ("procrastinate", "psycopg"), _procrastinate, postgres="DSN"),
    Application("django-q2", "django-q2", ("django-q2", "django", "psycopg"), _django_q, postgres="DSN"),
    Application(
        "wagtail-gunicorn", "wagtail", ("wagtail", "django", "gunicorn", "psycopg"), _wagtail_gunicorn, postgres="DSN"
    ),
    Application("wagtail-asgi", "wagtail", ("wagtail", "django", "uvicorn", "psycopg"), _wagtail_asgi, postgres="DSN"),
    Application("mlflow", "mlflow", ("mlflow", "sqlalchemy", "uvicorn"), _mlflow, may_say=NESTED),
    Application("notebook", "notebook", ("ipykernel", "nbclient"), _notebook),
    Application("optuna", "optuna", ("optuna", "sqlalchemy"), _optuna),
    Application("optuna-postgresql", "optuna", ("optuna", "sqlalchemy"), _optuna, postgres="STORAGE"),
    Application("sqlite-utils", "sqlite-utils", ("sqlite-utils",), _sqlite_utils),
)
