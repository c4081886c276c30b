"""A part of the hostile secrets, and what must stay readable beside them. All: `python -m tests.hostile.secrets`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hostile.secrets import FORMS, leaks
from whoholds.ledger.database import Database, database
from whoholds.text.redact import redact, redact_argv, shown_name
from whoholds.text.source_line import source_line

ROOT = Path(__file__).parents[2]
INPUTS = 1000  # of each form


@pytest.mark.parametrize("form", FORMS)
def test_no_chunk_of_a_secret_survives(form: str) -> None:
    """Each run tries others: the seed is the day, and is in the failure."""
    seed = time.strftime("%Y-%m-%d")
    found = next(leaks(form, INPUTS, seed), None)
    assert found is None, (form, seed, found)


# What people write, none of it secret: it must be shown as it is, but for a comment.
READABLE = [
    'conn = sqlite3.connect("shop.db")',
    'self.db = sqlite3.connect("/var/lib/shop/cars.sqlite3", timeout=5)',
    "sqlite3.connect(':memory:')",
    'sqlite3.connect("file:shop.db?mode=ro", uri=True)',
    'aiosqlite.connect("data/shop.db")',
    'connect("shop.db")',
    'conn = psycopg2.connect(host="db.internal", port=5432, dbname="shop", user="app")',
    'psycopg2.connect("host=db port=5432 dbname=shop user=app")',
    'psycopg.connect("postgresql://app@db:5432/shop?sslmode=require&application_name=cars")',
    'engine = create_engine("sqlite:///shop.db", pool_size=5)',
    'create_engine("postgresql+psycopg2://app@db/shop")',
    'pymysql.connect(host="127.0.0.1", user="root", database="shop", charset="utf8mb4")',
    'pyodbc.connect("Driver={ODBC Driver 17 for SQL Server};SERVER=h;Database=shop")',
    'asyncpg.connect(host="/var/run/postgresql", database="shop")',
    'psycopg2.connect(os.environ["DATABASE_URL"])',
    'psycopg2.connect(os.environ.get("DATABASE_URL"), connection_factory=Tracked)',
    'threading.Thread(target=load_cars, args=(shop, i), name="loader-3", daemon=True).start()',
    'threading.Thread(target=load_cars, name=f"loader-{i}").start()',
    "kept.append(psycopg2.connect(DSN))",
    "with pool.connection() as conn, conn.cursor() as cursor:",
    "futures = [executor.submit(load, car) for car in cars]",
    'return connect(settings["DSN"], **options)',
    'f(host="::1", **{"user": "app", "dbname": "shop"})',
]


@pytest.mark.parametrize("line", READABLE)
def test_usual_lines_stay_as_they_are(line: str) -> None:
    """Files, functions, hosts, users, databases and names of threads."""
    assert source_line(f"    {line}\n") == line
    assert source_line(f"{line}  # the shop's") == line


HIDDEN = [
    ('MySQLdb.connect("h", "root", "PW", "db")', 'MySQLdb.connect("***", "***", "***", "***")'),
    ('psycopg2.connect("postgresql://app:PW@db/shop")', 'psycopg2.connect("postgresql://app:***@db/shop")'),
    ('psycopg2.connect("host=db password=PW user=app")', 'psycopg2.connect("host=db password=*** user=app")'),
    ('psycopg2.connect(dbname="postgresql://u:PW@h/db")', 'psycopg2.connect(dbname="postgresql://u:***@h/db")'),
    ('connect(host="db", password="PW", user="app")', 'connect(host="db", password="***", user="app")'),
    ('URL.create("postgresql", "app", "PW", "h")', 'URL.create("***", "***", "***", "***")'),
    ('password, host = "PW", "h"', 'password, host = "***", "***"'),
    ("conn = connect(DSN)  # the password is PW", "conn = connect(DSN)"),
    ('connect(host="h" "PW")', 'connect(host="***" "***")'),
    ('cx_Oracle.connect("scott/PW@host")', 'cx_Oracle.connect("***")'),
    ('create_engine("postgresql://u:P@W/?PW@h/db")', 'create_engine("***")'),
    ('sqlite3.connect("file:shop.db?key=PW", uri=True)', 'sqlite3.connect("***", uri=True)'),
]


@pytest.mark.parametrize(("line", "shown"), HIDDEN)
def test_what_surrounds_a_secret_stays(line: str, shown: str) -> None:
    """The call, the keywords, the host and the database around it."""
    assert source_line(line) == shown


def test_a_line_inside_a_string_is_hidden() -> None:
    """Where a string of the lines above is still open, what looks like code may be text."""
    assert source_line("PW {connect()}\n", ['x = f"""\n']) == "***"
    assert source_line('PW", {connect()})\n', ['x = connect("a\\\n']) == "***"
    assert source_line("x = {connect(): 1}\n", ['"""A docstring."""\n', "y = 1\n"]) == "x = {connect(): 1}"


@pytest.mark.parametrize(
    "line",
    ["'" * 9000, '"' * 9000, "f'{" * 5000, "(" * 16000, "a='" * 5000, "\\" * 16000, '"' + "\\'" * 8000, "x" * 10**6],
)
def test_a_hostile_line_costs_no_more_than_a_long_one(line: str) -> None:
    """Lines made to be slow take a time that is linear in their length."""
    began = time.process_time()
    source_line(line)
    assert time.process_time() - began < 0.5


ARGUMENTS = [
    (["sshpass", "-pPW", "ssh", "h"], ["sshpass", "-p***", "ssh", "h"]),
    (["redis-cli", "-aPW", "ping"], ["redis-cli", "-a***", "ping"]),
    (["sqlcmd", "-PPW", "-S", "h"], ["sqlcmd", "-P***", "-S", "h"]),
    (["curl", "-uu:PW", "https://h/"], ["curl", "-u***", "https://h/"]),
    (["curl", "--user", "u:PW"], ["curl", "--user", "u:***"]),
    (["mongosh", "-p", "PW", "h"], ["mongosh", "-p", "***", "h"]),
    (["sqlplus", "scott/PW@db"], ["sqlplus", "scott/***@db"]),
    (["tool", "--auth", "u:PW"], ["tool", "--auth", "***"]),
    (["tool", "--password", "--PW", "--host", "h"], ["tool", "--password", "***", "--host", "h"]),
    (["psql", "--password", "--host", "h"], ["psql", "--password", "--host", "h"]),
    (["env", "PGPASSWORD=PW", "psql"], ["env", "PGPASSWORD=***", "psql"]),
    (["docker", "login", "-p", "PW"], ["docker", "login", "-p", "***"]),
    # none of these is a secret
    (["docker", "run", "-p", "80:80", "--user", "1000:1000"], ["docker", "run", "-p", "80:80", "--user", "1000:1000"]),
    (["ssh", "-p", "22", "h"], ["ssh", "-p", "22", "h"]),
    (["python", "-m", "app", "--user", "u", "-p", "8000"], ["python", "-m", "app", "--user", "u", "-p", "8000"]),
    (["gunicorn", "shop.wsgi:app", "-b", "0.0.0.0:80"], ["gunicorn", "shop.wsgi:app", "-b", "0.0.0.0:80"]),
    (["python", "-c", "print(1)", "data/a.csv"], ["python", "-c", "print(1)", "data/a.csv"]),
]


@pytest.mark.parametrize(("argv", "shown"), ARGUMENTS, ids=" ".join)
def test_arguments(argv: list[str], shown: list[str]) -> None:
    """By the flag, by the command, and only there."""
    assert redact_argv(argv) == shown


USUAL = [
    "whoholds: left-open: shop/cars.py:42 in load_cars opened 35 connections, spawned at a.py:4 in main, to app@db:5432/shop",
    "thread loader-3, longest 2.1 s, 2 idle in transaction",
    "GET /users/{id}/cars",
    "tests/test_cars.py::test_load[a-5]",
    "FATAL:  sorry, too many clients already",
    'connection to server at "db" (10.0.0.5), port 5432 failed: timeout expired',
    "ThreadPoolExecutor-0_3",
    "Task-17",
    "postgresql://app@db:5432/shop",
    "sqlite:////var/lib/shop.db",
    "Close it where it was opened: with closing(connect(…)) as connection.",
]


@pytest.mark.parametrize("usual", USUAL)
def test_usual_texts_stay_as_they_are(usual: str) -> None:
    """Messages, names of owners and of requests."""
    assert redact(usual) == usual
    assert shown_name(usual) == usual


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"name": "postgresql://u:PW@h/db"}, "postgresql:///postgresql://u:***@h/db"),
        ({"name": "host=h password=PW"}, "postgresql:///host=h password=***"),
        ({"name": "u:PW@h/db"}, "postgresql:///u:***@h/db"),
        ({"host": "u:PW@h", "name": "db"}, "postgresql://u:***@h/db"),
        ({"user": "scott/PW", "host": "h"}, "postgresql://scott/***@h/"),
        ({"user": "app", "host": "h", "port": 5432, "name": "shop"}, "postgresql://app@h:5432/shop"),
    ],
)
def test_a_database_names_no_password(given: dict[str, object], shown: str) -> None:
    """Whatever part of it was given a whole connection string; and it is still one database."""
    made = database("postgresql", **given)
    assert made.text == shown
    assert "PW" not in f"{made.name} {made.host} {made.user} {made.server}"
    assert database("postgresql", **given) is made


def test_a_file_keeps_its_name() -> None:
    """Whatever characters are in it."""
    for name in ("/data/a@b.db", "/data/x=y.db", "C:/data/a@b.db"):
        assert Database("sqlite", name=name).name == name


PROGRAM = """
import asyncio, json, logging, sqlite3, sys, threading
from opentelemetry import trace, metrics
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader, ConsoleMetricExporter
import whoholds

class Everything(logging.Handler):
    def emit(self, record):
        print(json.dumps({key: str(value) for key, value in vars(record).items()}))

if "logging" in sys.argv:
    logging.getLogger().addHandler(Everything())
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter(), 200)]))
kept = []

def connect(path, *rest, **named):
    return sqlite3.connect(path)

def load(i):
    kept.append(connect("shop.db", "PWpositional", password="PWkeyword"))  # PWcomment
    for statement in ("select 'PWliteral'", "pragma key=PWpragma", "postgresql://u:PWstatement@h/db", "begin"):
        try: kept[-1].execute(statement, ())
        except sqlite3.Error: pass  # nobody may see its message

threads = [threading.Thread(target=load, args=(i,), name=f"import {i} postgresql://u:PWthread@h/db") for i in range(25)]
[one.start() for one in threads]; [one.join() for one in threads]

async def work():
    kept.append(sqlite3.connect("shop.db", timeout=5, isolation_level=""))
    await asyncio.sleep(0)

async def main():
    await asyncio.gather(*[asyncio.create_task(work(), name=f"sync password=PWtask{i}") for i in range(3)])

asyncio.run(main())
with whoholds.scope("GET /?token=PWscope"):
    kept.append(sqlite3.connect("shop.db"))
print(whoholds.holders())
"""


@pytest.mark.parametrize("logging", ["", "logging"])
@pytest.mark.parametrize("outputs", ["log,otel,journal", "log,warn,journal"])
def test_no_output_of_a_program_says_one(tmp_path: Path, outputs: str, logging: str) -> None:
    """Stderr, log records with their fields, warnings, journal, spans, metrics, `holders`, `report`: no secret in any."""
    (tmp_path / "program.py").write_text(PROGRAM)
    env = {
        **os.environ,
        "WHOHOLDS": outputs,
        "WHOHOLDS_JOURNAL": str(tmp_path / "run.jsonl"),
        "WHOHOLDS_SPANS": "queries",
    }
    command = [sys.executable, "program.py", "--password", "PWargument", "postgresql://u:PWurl@h/db", logging]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    journal = (tmp_path / "run.jsonl").read_text()
    told = subprocess.run(
        [sys.executable, "-m", "whoholds", "report", "-v", "run.jsonl"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = f"{done.stdout}\n{done.stderr}\n{journal}\n{told.stdout}"
    assert [line for line in said.splitlines() if "PW" in line] == []
    assert "in connect" in done.stderr + done.stdout
    assert "owner-gone" in said or "left-open" in said
    assert ("db.query.text" in done.stdout) == ("otel" in outputs)


def test_no_room_that_tells_takes_a_name_as_it_is() -> None:
    """Owners' and pools' names are the program's: whoever shows one asks `shown_name` first."""
    raw = re.compile(r"(?<!shown_name\()(?<![\"'.])\b(?:owner|pool)\.(?:name|thread_name)\b(?![\"':])")
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for room in ("analysis", "detectors", "reporting", "watching", "outputs", "commands", "testing")
        for path in (ROOT / "src" / "whoholds" / room).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if raw.search(line.replace("handle.owner", "owner").replace("handle.pool", "pool"))
    ]
    assert found == []
