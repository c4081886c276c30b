"""Findings and the closing summary in the logs of real frameworks and servers, as each of them sets logging up."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, posix
from tests.processes.test_servers import WSGI, ask, free_port

if TYPE_CHECKING:
    import subprocess

    from tests.programs import Programs, Ran

pytestmark = [posix, pytest.mark.once]

BELOW = "  opened   "  # in the part of a report below its first line
DJANGO = """
import logging
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["shop"], **{settings})
{before}
django.setup()
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "nightly"])
"""
NIGHTLY = """
import sqlite3
from django.core.management.base import BaseCommand
kept = []
class Command(BaseCommand):
    def handle(self, *args, **options):
        for _ in range(3):
            kept.append(sqlite3.connect("shop.db"))
        self.stdout.write("done")
"""
CONSOLE = {
    "version": 1,
    "formatters": {"verbose": {"format": "{levelname} {module} {process:d} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "verbose"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}


def nightly(program: Programs, settings: object, before: str = "") -> Ran:
    """Run a management command of Django's that leaks, with these settings."""
    needed("django")
    folder = program.folder / "shop" / "management" / "commands"
    folder.mkdir(parents=True)
    (folder / "nightly.py").write_text(NIGHTLY)
    return program.run(DJANGO.format(settings=repr(settings), before=before))


def test_djangos_logging(program: Programs) -> None:
    """`LOGGING` in the settings: one record for the finding, whose module is that of the opening line, and a last one."""
    ran = nightly(program, {"LOGGING": CONSOLE})
    assert (ran.code, ran.out) == (0, "done\n")
    first, *below = ran.err.splitlines()
    (pid,) = {record["pid"] for record in ran.of("run")}
    assert first.startswith(f"ERROR nightly {pid} whoholds: left-open: shop/management/commands/nightly.py:8 in handle")
    assert any(BELOW in line for line in below)
    assert any(line.startswith(f"ERROR (whoholds) {pid} whoholds: 1 finding (1 error): 3 conn") for line in below)


def test_django_without_a_setting(program: Programs) -> None:
    """Its own set-up has no handler for other loggers: the whole text is on stderr, with time and process id."""
    ran = nightly(program, {})
    first, *below = ran.err.splitlines()
    assert first.startswith("whoholds: left-open: shop/management/commands/nightly.py:8 in handle")
    assert first.endswith(f", process {ran.of('run')[0]['pid']}]")
    assert any(BELOW in line for line in below)


def test_a_logger_that_a_later_set_up_disables_is_no_end(program: Programs) -> None:
    """Django's set-up disables loggers that are there already: what was said before it must not silence what follows."""
    before = (
        "import sqlite3, gc, time\nlogging.basicConfig()\nclass Cycle: pass\n"
        "def early():\n    a = Cycle(); a.a, a.c = a, sqlite3.connect('early.db')\n"
        "early(); gc.collect()\n"
        "end = time.monotonic() + 20\n"
        "while not logging.getLogger('whoholds').handlers and 'whoholds' not in logging.root.manager.loggerDict and time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"
        "logging.getLogger('whoholds')\n"
    )
    ran = nightly(program, {"LOGGING": CONSOLE}, before)
    assert "whoholds: left-open: shop/management/commands/nightly.py:8 in handle" in ran.err
    assert BELOW in ran.err


JOBS = """
import sqlite3
from celery import Celery
app = Celery("jobs", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "in", "data_folder_out": "in", "control_folder": "control", "polling_interval": 0.05
}
app.conf.broker_connection_retry_on_startup = True
kept = []
@app.task(name="shop.load")
def load():
    kept.append(sqlite3.connect("shop.db"))
"""


def started(process: subprocess.Popen[str], marks: int, mark: str) -> str:
    """Give what the process wrote to stderr until `mark` had come so often."""
    assert process.stderr is not None
    said = ""
    until = time.monotonic() + 60
    while said.count(mark) < marks:
        line = process.stderr.readline()
        assert line, said
        assert time.monotonic() < until, said
        said += line
    return said


@pytest.mark.parametrize(("pool", "name"), [("solo", "MainProcess"), ("prefork", "ForkPoolWorker-1")])
def test_a_celery_worker(program: Programs, pool: str, name: str) -> None:
    """It sets up the root logger itself, with a format of its own: finding and summary are records of the process."""
    needed("celery")
    (program.folder / "in").mkdir()
    program.write(JOBS, "jobs.py")
    sent = program.run("from jobs import load\nfor _ in range(3): load.delay()", WHOHOLDS=None)
    assert sent.code == 0, sent.err
    command = [sys.executable, "-m", "celery", "-A", "jobs", "worker", "--loglevel", "INFO", "--pool", pool, "-c", "1"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = program.command(command)
    started(process, 3, "] succeeded in ")
    process.send_signal(signal.SIGTERM)
    ran = program.ends(process, within=60)
    lines = ran.err.splitlines()
    (finding,) = [line for line in lines if "whoholds: left-open: " in line]
    (last,) = [line for line in lines if "whoholds: 1 finding (1 error): 3 connections opened" in line]
    for line, said in (
        (finding, "whoholds: left-open: jobs.py:12 in load left open 3 connections"),
        (last, "whoholds: "),
    ):
        stamp, _, message = line.partition("] ")
        assert stamp.endswith(f": ERROR/{name}")
        assert message.startswith(said)
    assert BELOW in lines[lines.index(finding) + 1]


def gunicorn(program: Programs, *options: str) -> Ran:
    """Give what gunicorn said, from a worker that leaked four connections, with these options."""
    needed("gunicorn")
    program.write(WSGI.format(library="sqlite3", database="shop.db"))
    port = free_port()
    process = program.command([sys.executable, "-m", "gunicorn", "app:app", "-b", f"127.0.0.1:{port}", *options])
    ask(port, 4)
    process.send_signal(signal.SIGTERM)
    return program.ends(process, within=60)


def test_gunicorn_with_a_log_set_up(program: Programs) -> None:
    """`--log-config-json`: the root logger's handler and format."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"all": {"format": "[%(process)d] [%(levelname)s] %(name)s: %(message)s"}},
        "handlers": {"all": {"class": "logging.StreamHandler", "formatter": "all"}},
        "root": {"handlers": ["all"], "level": "INFO"},
        "loggers": {"gunicorn.error": {"propagate": True}, "gunicorn.access": {"propagate": True}},
    }
    (program.folder / "log.json").write_text(json.dumps(config))
    ran = gunicorn(program, "--log-config-json", "log.json")
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    pid = ran.of("finding", "left-open")[0]["pid"]
    (finding,) = [line for line in lines if "whoholds: left-open" in line]
    assert finding.startswith(
        f"[{pid}] [ERROR] whoholds: whoholds: left-open: app.py:5 in leak left open 4 connections"
    )
    assert BELOW in lines[lines.index(finding) + 1]
    assert [
        line for line in lines if line.startswith(f"[{pid}] [ERROR] whoholds: whoholds: 1 finding (1 error): 4 conn")
    ]


def test_gunicorn_without_one(program: Programs) -> None:
    """Its own loggers are its own: the whole text is on stderr, with time and process id, and no line of gunicorn's is lost."""
    ran = gunicorn(program)
    (finding,) = [line for line in ran.err.splitlines() if "whoholds: left-open" in line]
    assert finding.startswith("whoholds: left-open: app.py:5 in leak left open 4 connections")
    assert finding.endswith(f", process {ran.of('finding', 'left-open')[0]['pid']}]")
    assert BELOW in ran.err
    assert "whoholds: 1 finding (1 error): 4 connections opened" in ran.err
    assert "[INFO] Worker exiting" in ran.err


def test_an_application_that_configures_logging_itself(program: Programs) -> None:
    """`logging.config.dictConfig` under gunicorn, in the worker."""
    config = repr({**CONSOLE, "disable_existing_loggers": False})
    program.write(f"import logging.config\nlogging.config.dictConfig({config})\n", "set_up.py")
    needed("gunicorn")
    program.write("import set_up\n" + WSGI.format(library="sqlite3", database="shop.db"))
    port = free_port()
    process = program.command([sys.executable, "-m", "gunicorn", "app:app", "-b", f"127.0.0.1:{port}"])
    ask(port, 4)
    process.send_signal(signal.SIGTERM)
    ran = program.ends(process, within=60)
    pid = ran.of("finding", "left-open")[0]["pid"]
    assert f"ERROR app {pid} whoholds: left-open: app.py:6 in leak left open 4 connections" in ran.err
    assert f"ERROR (whoholds) {pid} whoholds: 1 finding (1 error)" in ran.err


def test_basic_config(program: Programs) -> None:
    """The simplest set-up: the summary, too, is a record."""
    ran = program.run("import logging\nlogging.basicConfig(format='%(levelname)s|%(message)s')\n" + LEAK)
    assert ran.err.startswith("ERROR|whoholds: left-open: app.py:7 in load left open 3 connections")
    assert "\nERROR|whoholds: 1 finding (1 error): 3 connections opened" in ran.err
