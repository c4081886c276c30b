"""The pytest plug-in beside what suites really use: other plug-ins, unittest, Django, doctests, pools, workers."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.inner import said
from tests.needs import needed

if TYPE_CHECKING:
    from tests.inner import Suite

pytestmark = pytest.mark.once

LEAKS = "def test_leaks():\n    leak()\ndef test_clean():\n    connect().close()\n"


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where one of them is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


@needs("xdist")
def test_workers_results_come_together_in_one_table(suite: Suite) -> None:
    """Parallel tests are kept apart, and what a session's fixture left in a worker is told of too."""
    result = suite(
        "".join(f"def test_{n}(cars):\n    leak()\n" for n in range(4)),
        "--whoholds=error",
        "-n2",
        "-v",
        with_=("xdist",),
        conftest="import pytest, sqlite3\n@pytest.fixture(scope='session')\ndef cars():\n    return sqlite3.connect('all.db')\n",
    )
    assert result.parseoutcomes()["failed"] == 4  # the last of each worker for its session's fixture, too
    assert result.stdout.str().count("= whoholds =") == 1
    said(
        result,
        "4 ×  left-open  app.py:6",
        "test_0",
        "2 ×  left-open  conftest.py:4 in cars",
        "in cars (session scope, conftest.py:2)",
    )


@needs("xdist")
def test_a_wrong_marker_is_said_by_a_worker_too(suite: Suite) -> None:
    """A UsageError in a worker is seen by nobody: the test that is marked wrongly does not run, and says why."""
    result = suite(
        "import pytest\n"
        "@pytest.mark.whoholds(max_opn=3)\ndef test_wrong(): raise SystemError\n"
        "def test_right(): pass\n",
        "--whoholds=error",
        "-n1",
        with_=("xdist",),
    )
    result.assert_outcomes(passed=1, errors=1)
    said(result, "has no 'max_opn' (did you mean max_open?)", "ERROR test_cars.py::test_wrong")


ITS_OWN_LOG = """
import json, pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    hooks, config = item.config.hook, item.config
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        sent = json.dumps(hooks.pytest_report_to_serializable(config=config, report=report))
        received = hooks.pytest_report_from_serializable(config=config, data=json.loads(sent))
        item.ihook.pytest_runtest_logreport(report=received)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""


def test_plug_ins_that_log_a_tests_reports_themselves(suite: Suite, pytester: pytest.Pytester) -> None:
    """All at once when the test is over, as pytest-rerunfailures, and from another process, as pytest-forked."""
    result = suite(LEAKS, "--whoholds=error", "--junitxml=out.xml", with_=("cacheprovider",), conftest=ITS_OWN_LOG)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    said(result, "test_cars.py .F.*", "FAILED test_cars.py::test_leaks - whoholds: left-open: *")
    assert 'tests="2"' in (pytester.path / "out.xml").read_text()
    again = suite(LEAKS, "--lf", with_=("cacheprovider",))
    said(again, "run-last-failure: rerun previous 1 failure")


RETRIES = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        item.ihook.pytest_runtest_teardown(item=item, nextitem=pytest.Class.from_parent(item.session, name="none"))
        item._initrequest()
        item.ihook.pytest_runtest_setup(item=item)
        second = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
        again = pytest.TestReport.from_item_and_call(item, second)
        report.outcome, report.longrepr = again.outcome, again.longrepr
    return report
"""


def test_a_retry_that_passes_may_leak(suite: Suite) -> None:
    """As pytest-retry does, within the report of the first attempt, which had failed."""
    result = suite(
        "tries = []\ndef test_flaky():\n    tries.append(1)\n    assert len(tries) == 2\n    leak()\n"
        "def test_fails():\n    leak()\n    assert 0\n",
        "--whoholds=error",
        conftest=RETRIES,
    )
    assert result.parseoutcomes() == {"failed": 2}
    said(result, "FAILED test_cars.py::test_flaky - whoholds: left-open*", "FAILED *test_fails - assert 0")


@needs("pytest_asyncio")
@pytest.mark.parametrize("loop", ["function", "session"])
def test_asyncio_tests_and_their_tasks(suite: Suite, loop: str) -> None:
    """The task that opened it counts for its test, also where all tests share one event loop."""
    result = suite(
        "import asyncio\n"
        f"pytestmark = pytest.mark.asyncio(loop_scope='{loop}')\n"
        "async def worker(): leak()\n"
        "async def test_first(): connect().close()\n"
        "async def test_leaks(): await asyncio.gather(worker(), asyncio.to_thread(leak))\n"
        "async def test_clean(): connect().close()\n",
        "--whoholds=error",
        with_=("asyncio",),
        ini="asyncio_default_fixture_loop_scope = function\n",
    )
    result.assert_outcomes(passed=2, failed=1)
    said(result, "FAILED test_cars.py::test_leaks*")


@needs("anyio")
def test_anyio_tests_share_one_task(suite: Suite) -> None:
    """The task that runs them all was started by the first: each test has what it opened all the same."""
    result = suite(
        "import anyio\npytestmark = pytest.mark.anyio\n"
        "@pytest.fixture(scope='module')\ndef anyio_backend(): return 'asyncio'\n"
        "@pytest.fixture(scope='module', autouse=True)\nasync def keeps_the_runner(): yield\n"
        "async def test_first(): connect().close()\n"
        "async def test_leaks():\n    async with anyio.create_task_group() as group:\n"
        "        group.start_soon(anyio.to_thread.run_sync, leak)\n"
        "async def test_clean(): connect().close()\n"
        "async def test_more(): leak()\n",
        "--whoholds=error",
        with_=("anyio",),
    )
    result.assert_outcomes(passed=2, failed=2)
    said(result, "FAILED test_cars.py::test_leaks*", "FAILED test_cars.py::test_more*")


LOOPS = """
import asyncio, pytest, threading
import anyio.from_thread
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

async def leaks(request=None):
    leak()
    return Response()

def works(request):
    opened = [connect() for _ in range(3)]
    for connection in opened:
        connection.close()
    return Response()

@pytest.fixture(scope="module")
def client():
    app = Starlette(routes=[Route("/leak", leaks), Route("/work", works)])
    with TestClient(app) as client:
        yield client

@pytest.fixture(scope="session")
def portal():
    with anyio.from_thread.start_blocking_portal() as portal:
        yield portal

@pytest.fixture(scope="session")
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

def test_leaks_by_client(client):
    assert client.get("/leak").is_success

@pytest.mark.whoholds(max_open=2)
def test_too_many(client):
    assert client.get("/work").is_success

def test_counts(client, whoholds):
    client.get("/work")
    assert (whoholds.connects, whoholds.peak) == (3, 3)

def test_leaks_by_portal(portal):
    portal.call(leaks)

def test_leaks_by_coroutine(loop):
    asyncio.run_coroutine_threadsafe(leaks(), loop).result()

def test_leaks_by_callback(loop):
    done = threading.Event()
    loop.call_soon_threadsafe(lambda: (leak(), done.set()))
    assert done.wait(10)

def test_clean(client, portal, loop):
    client.get("/work")
    portal.call(connect).close()
"""


@needs("anyio", "starlette", "httpx")
def test_what_a_test_hands_to_a_fixtures_loop_is_the_tests(suite: Suite) -> None:
    """By a test client, a portal or asyncio itself: a leak fails the test that leaks, and no other."""
    result = suite(LOOPS, "--whoholds=error", "-Wignore")  # Starlette's, about httpx
    result.assert_outcomes(passed=2, failed=5)
    said(
        result,
        "left-open: * at the end of test test_cars.py::test_leaks_by_client, * spawned at test_cars.py:* in test_leaks_by_client,",
        "max-open: * opened 3 connections at once, 2 allowed, spawned at test_cars.py:* in test_too_many,",
        "left-open: * at the end of test test_cars.py::test_leaks_by_portal, * spawned at test_cars.py:* in test_leaks_by_portal,",
        "FAILED test_cars.py::test_leaks_by_client",
        "FAILED test_cars.py::test_too_many",
        "FAILED test_cars.py::test_leaks_by_portal",
        "FAILED test_cars.py::test_leaks_by_coroutine",
        "FAILED test_cars.py::test_leaks_by_callback",
    )


def test_unittest_classes_work_unchanged(suite: Suite) -> None:
    """TestCase, IsolatedAsyncioTestCase, setUpClass; cleanups run before the judgement."""
    result = suite(
        "import unittest\n"
        "class TestPlain(unittest.TestCase):\n"
        "    @classmethod\n    def setUpClass(cls): leak()\n"
        "    def test_clean(self):\n        c = connect(); self.addCleanup(c.close)\n"
        "    def test_leaks(self): leak()\n"
        "class TestAsync(unittest.IsolatedAsyncioTestCase):\n"
        "    async def asyncSetUp(self): self.c = connect()\n"
        "    async def asyncTearDown(self): self.c.close()\n"
        "    async def test_clean(self): pass\n"
        "    async def test_leaks(self): leak()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=2, failed=2)
    said(
        result,
        "*left open 1 connection at the end of fixture setUpClass of TestPlain*",
        "FAILED *TestPlain::test_leaks*",
        "FAILED *TestAsync::test_leaks*",
    )


def test_doctests_and_subtests(suite: Suite, pytester: pytest.Pytester) -> None:
    """A doctest is a test; a subtest is part of one."""
    pytester.makepyfile(documented='"""\n>>> import app\n>>> app.leak()\n"""\n')
    result = suite(
        "import unittest\nclass TestSub(unittest.TestCase):\n    def test_sub(self):\n"
        "        for n in range(2):\n            with self.subTest(n=n): leak()\n",
        "--whoholds=error",
        "--doctest-modules",
    )
    assert "FAILED documented.py::documented" in result.stdout.str()
    assert "FAILED test_cars.py::TestSub::test_sub - whoholds: left-open: app.py:6" in result.stdout.str()


@needs("pytest_randomly", "pytest_timeout", "pytest_cov")
def test_randomly_timeout_and_cov(suite: Suite) -> None:
    """Another order, a timer beside each test, a tracer in it: the same test is blamed."""
    result = suite(LEAKS, "--whoholds=error", "--timeout=30", "--cov=app", with_=("randomly", "timeout", "cov"))
    result.assert_outcomes(passed=1, failed=1)
    said(result, "FAILED test_cars.py::test_leaks*")


DJANGO = """
from django.db import connection, connections
from django.test import TestCase, TransactionTestCase

class TestPlain(TestCase):
    @classmethod
    def setUpTestData(cls):
        with connection.cursor() as cursor: cursor.execute("SELECT 1")
    def test_clean(self):
        with connection.cursor() as cursor: cursor.execute("SELECT 1")
    def test_leaks(self): leak()

class TestReconnects(TransactionTestCase):
    def test_closes(self):
        connection.close()
        with connection.cursor() as cursor: cursor.execute("SELECT 1")

@pytest.mark.django_db
def test_marked():
    with connection.cursor() as cursor: cursor.execute("SELECT 1")

@pytest.mark.django_db(transaction=True)
def test_a_thread_that_never_closes():
    def ask():
        with connection.cursor() as cursor: cursor.execute("SELECT 1")
        kept.append(connections["default"].connection)
    thread = threading.Thread(target=ask); thread.start(); thread.join()
"""


@needs("django", "pytest_django")
def test_django_keeps_a_connection_for_its_thread(suite: Suite, pytester: pytest.Pytester) -> None:
    """That is nobody's leak while the thread lives; one that a thread left behind is."""
    pytester.makepyfile(
        settings="SECRET_KEY = 'x'\nINSTALLED_APPS = []\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'd.db', 'TEST': {'NAME': 't.db'}}}\n"
    )
    result = suite(
        DJANGO,
        "--whoholds=error",
        with_=("django",),
        ini="DJANGO_SETTINGS_MODULE = settings\npythonpath = .\n",
    )
    result.assert_outcomes(passed=3, failed=2)
    said(result, "FAILED *test_leaks*", "FAILED *test_a_thread_that_never_closes*")


@needs("sqlalchemy")
def test_a_pools_connections_at_home_are_nobodys_leak(suite: Suite) -> None:
    """A loan that is not given back is; so is max_open a matter of loans."""
    result = suite(
        "from sqlalchemy import create_engine, text, pool\n"
        "engine = create_engine('sqlite:///pool.db', poolclass=pool.QueuePool)\n"
        "@pytest.mark.whoholds(max_open=1)\n"
        "def test_clean():\n    for _ in range(3):\n        with engine.connect() as c: c.execute(text('select 1'))\n"
        "def test_leaks():\n    kept.append(engine.connect())\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=1, failed=1)
    said(result, "left-open: * did not give back 1 connection at the end of test test_cars.py::test_leaks*")


def test_a_real_server(suite: Suite, postgres: str) -> None:
    """psycopg2 against PostgreSQL, with its own pool: both leaks are found, the pool's stock is not one."""
    needed("psycopg2")
    result = suite(
        "import psycopg2, psycopg2.pool\n"
        f"DSN = {postgres!r}\npool = psycopg2.pool.ThreadedConnectionPool(1, 3, DSN)\n"
        "def ask(c):\n    with c.cursor() as cursor: cursor.execute('select 1')\n"
        "def test_clean():\n    c = pool.getconn(); ask(c); pool.putconn(c)\n"
        "def test_loan():\n    ask(pool.getconn())\n"
        "def test_own():\n    c = psycopg2.connect(DSN); ask(c); kept.append(c)\n"
        "def test_with():\n    with psycopg2.connect(DSN) as c: kept.append(c)\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=1, failed=3)
    assert "did not give back 1 connection" in result.stdout.str()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="ResourceWarning of sqlite3 is new in 3.13")
def test_pythons_own_warning_is_not_in_the_way(suite: Suite) -> None:
    """CPython 3.13 warns of an unclosed connection whenever it is freed; we name the test that opened it."""
    result = suite("def test_drops():\n    connect()\n    import gc; gc.collect()\n", "--whoholds=error", "-W", "error")
    result.assert_outcomes(failed=1)
