"""Django's connections, watched: what a live thread keeps is at home between requests, a dead one's is not."""

from __future__ import annotations

import asyncio
import gc
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from whoholds.analysis.snapshot import Ending
from whoholds.drivers import django as django_driver
from whoholds.drivers import psycopg as psycopg_driver
from whoholds.drivers import psycopg2 as psycopg2_driver
from whoholds.drivers import sqlite as sqlite_driver
from whoholds.ledger.handle import CHECKOUT, CONNECTION
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

django = needed("django")

from django.core.signals import request_finished, request_started
from django.db.utils import ConnectionHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding

DRIVERS: list[Any] = [sqlite_driver.watch, django_driver.watch]
if find_spec("psycopg2"):
    DRIVERS.append(psycopg2_driver.watch)
if find_spec("psycopg"):  # Django takes it where both are installed
    DRIVERS.append(psycopg_driver.watch)
PERSISTENT, EACH_TIME = None, 0


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch(Limits(outputs=()).with_settings(owner_gone=0), drivers=DRIVERS) as watching:
        yield watching


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Each case on a file and on a real server."""
    import django.conf

    if not django.conf.settings.configured:
        django.conf.settings.configure(USE_TZ=True, INSTALLED_APPS=[])
    django.setup()
    if request.param == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "shop.db"}
    if not find_spec("psycopg2") and not find_spec("psycopg"):
        pytest.skip("needs psycopg2 or psycopg")
    from urllib.parse import urlsplit

    server = urlsplit(request.getfixturevalue("postgres"))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": server.username,
        "HOST": server.hostname,
        "PORT": server.port,
    }


class Site:
    """One database of Django's, for as many threads as ask."""

    def __init__(self, address: dict[str, Any], keep: int | None) -> None:
        self.connections = ConnectionHandler({"default": {**address, "CONN_MAX_AGE": keep}})

    def request(self) -> None:
        """What a request does, and what Django does after it."""
        with self.connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        self.over()

    def over(self) -> None:
        for connection in self.connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()

    def close(self) -> None:
        self.connections.close_all()


def at_home(watch: Watch) -> list[bool]:
    return [handle.at_home for handle in watch.handles if handle.kind == CONNECTION]


def said(watch: Watch, rule: str) -> list[Finding]:
    return [one for one in watch.tick() if one.rule == rule]


def test_a_persistent_connection_is_at_home(watch: Watch, address: dict[str, Any]) -> None:
    """Between two requests it is nobody's: neither after hours nor at the end of the process."""
    site = Site(address, PERSISTENT)
    for _ in range(3):
        site.request()
        watch.tick()
        assert at_home(watch) == [True]
    assert not watch.end(Ending("watch"))
    site.close()
    assert not watch.handles


def test_in_a_request_it_is_away(watch: Watch, address: dict[str, Any]) -> None:
    """Entries up again it is judged again."""
    site = Site(address, PERSISTENT)
    site.request()
    site.connections["default"].cursor().execute("SELECT 1")
    watch.tick()
    assert at_home(watch) == [False]
    site.over()
    watch.tick()
    assert at_home(watch) == [True]
    site.close()


def test_a_connection_of_one_request(watch: Watch, address: dict[str, Any]) -> None:
    """With CONN_MAX_AGE of 0 it is closed at the end of each."""
    site = Site(address, EACH_TIME)
    for _ in range(3):
        site.request()
        assert not watch.handles
    assert not [one for one in watch.tick() if one.severity != "info"]


def test_one_per_dead_thread_is_a_finding(watch: Watch, address: dict[str, Any]) -> None:
    """Threads that use the ORM and end: each leaves its connection behind, kept or not."""
    site = Site(address, PERSISTENT)
    kept = []

    def check() -> None:
        kept.append(site.connections["default"])
        site.request()

    gc.disable()
    try:
        for _ in range(3):
            thread = threading.Thread(target=check)
            thread.start()
            thread.join()
        watch.tick()
        assert at_home(watch) == [False] * 3
        (finding,) = [one for one in watch.findings if one.rule == "owner-gone"]
        assert (finding.count, finding.severity) == (3, "error")
        assert finding.opened is not None
        assert (finding.opened.file, finding.opened.function) == (__file__, "request")
    finally:
        gc.enable()
    for connection in kept:
        connection.inc_thread_sharing()
        connection.close()


def test_a_live_thread_keeps_its_own(watch: Watch, address: dict[str, Any]) -> None:
    """One for each live worker is what persistent connections are."""
    site = Site(address, PERSISTENT)
    ready, done = threading.Barrier(4), threading.Event()

    def worker() -> None:
        site.request()
        ready.wait(20)
        done.wait(20)
        site.connections["default"].close()

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait(20)
    assert not watch.end(Ending("watch"))
    assert at_home(watch) == [True] * 3
    done.set()
    for thread in threads:
        thread.join()
    assert not watch.handles


def test_a_connection_in_an_asynchronous_view(watch: Watch, address: dict[str, Any]) -> None:
    """The ORM runs in a thread of asgiref's; its connection is kept and found again there."""
    from asgiref.sync import sync_to_async

    site = Site(address, PERSISTENT)

    async def main() -> None:
        for _ in range(3):
            await sync_to_async(site.request)()
            watch.tick()
            assert at_home(watch) == [True]
        assert not [one for one in watch.findings if one.severity != "info"]
        await sync_to_async(site.close)()

    asyncio.run(main())
    assert not watch.handles


def test_django_s_own_pool_lends(watch: Watch, address: dict[str, Any]) -> None:
    """With psycopg's pool, from 5.1 on, a request borrows and gives back; what a thread keeps is a loan."""
    if "postgresql" not in address["ENGINE"] or not find_spec("psycopg_pool") or django.VERSION < (5, 1):
        pytest.skip("needs PostgreSQL, psycopg_pool and Django 5.1")
    from whoholds.drivers import psycopg_pool

    watch.enter(psycopg_pool.watch)
    options = {"OPTIONS": {"pool": {"min_size": 1, "max_size": 2}}}
    site = Site({**address, **options}, EACH_TIME)
    connection = site.connections["default"]
    try:
        for _ in range(3):
            site.request()
        assert [handle.kind for handle in watch.handles if not handle.at_home] == []
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        lent = [handle for handle in watch.handles if not handle.at_home and handle.kind == CHECKOUT]
        (finding,) = [one for one in watch.end(Ending("watch")) if one.rule == "left-open"]
        assert (len(lent), finding.kind, finding.count) == (1, CHECKOUT, 1)
        assert finding.opened is not None
        assert finding.opened.file == __file__
        site.over()
        assert not [handle for handle in watch.handles if handle.kind == CHECKOUT]
    finally:
        site.close()
        connection.close_pool()


def test_django_s_own_signals_do_it(watch: Watch, address: dict[str, Any]) -> None:
    """A request's start and end look at Django's own connections, whoever sends them."""
    from django.conf import settings
    from django.db import connections

    before = connections.settings, connections._settings
    connections._settings = connections.configure_settings({"default": {**address, "CONN_MAX_AGE": 600}})
    connections.__dict__["settings"] = connections._settings
    try:
        assert settings.configured
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
        assert at_home(watch) == [False]
        request_finished.send(sender=None)
        assert at_home(watch) == [True]
        request_started.send(sender=None)
        assert at_home(watch) == [True]
    finally:
        connections["default"].close()
        del connections["default"]
        connections.__dict__["settings"], connections._settings = before


def test_django_is_as_before() -> None:
    """Its name is given back."""
    from django.db.backends.base.base import BaseDatabaseWrapper

    before = vars(BaseDatabaseWrapper)["close_if_unusable_or_obsolete"]
    with Watch(Limits(outputs=()), drivers=[django_driver.watch]):
        assert vars(BaseDatabaseWrapper)["close_if_unusable_or_obsolete"] is not before
    assert vars(BaseDatabaseWrapper)["close_if_unusable_or_obsolete"] is before
