"""Third parties' driver, output and rule, each installed from its own distribution and found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGINS = Path(__file__).parents[1] / "examples" / "plugins"
Run = "Callable[..., subprocess.CompletedProcess[str]]"

KEEPS = """
import duckdb

def keep():
    connection = duckdb.connect("shop.duckdb")
    connection.cursor().execute("SELECT 1").fetchall()
    return connection

kept = [keep() for _ in range(3)]
closed = duckdb.connect("shop.duckdb")
closed.close()
print(type(kept[0]).__name__, kept[0].execute("SELECT 42").fetchone())
"""

WASTES = """
import sqlite3

def waste():
    for _ in range(4):
        sqlite3.connect("shop.db").close()

waste()
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder into which the three distributions are installed, as pip installs them."""
    folder = tmp_path_factory.mktemp("plugins")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(folder),
    ]
    subprocess.run(
        [*pip, *(str(plugin) for plugin in sorted(PLUGINS.iterdir()) if plugin.is_dir())], check=True, timeout=100
    )
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give what runs a program in a folder of its own, with the three installed."""

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("WHOHOLDS")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(site), "WHOHOLDS": "1", **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_driver_of_a_third_party_names_the_line(run: Any) -> None:
    """DuckDB: the program's own output is as it was, three are named, and the one that was closed is not."""
    try:
        import duckdb  # noqa: F401, PLC0415 - only whether it is there
    except ImportError:
        lacking("duckdb is not installed")
    ran = run("-c", KEEPS)
    assert (ran.returncode, ran.stdout) == (0, "DuckDBPyConnection (42,)\n")
    assert "left-open: <string>:5 in keep left open 3 connections at exit" in ran.stderr
    assert "4 connections opened, at most 4 at once" in ran.stderr
    assert "never used" not in ran.stderr


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the URL of a server on the loopback and the list of what is posted to it."""
    posted: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_output_of_a_third_party_gets_the_findings(run: Any, receiver: tuple[str, list[dict[str, Any]]]) -> None:
    """As the journal has them; beside the log."""
    url, posted = receiver
    ran = run("-c", WASTES, WHOHOLDS="log,webhook", WEBHOOK_URL=url)
    (record,) = posted
    assert record["rule"] == "never-used"
    assert record["opened"]["function"] == "waste"
    first, _, below = record["report"].partition("\n")
    assert f"{first} [" in ran.stderr  # there with its time and process
    assert below in ran.stderr


def test_an_output_that_reaches_nobody_says_so_at_the_end(run: Any) -> None:
    """And one that cannot be made is switched off; the program and the other output go on."""
    ran = run("-c", WASTES, WHOHOLDS="log,webhook", WEBHOOK_URL="http://127.0.0.1:9/")
    assert "never-used" in ran.stderr
    assert "1 " in ran.stderr
    assert "dropped" in ran.stderr
    ran = run("-c", WASTES, WHOHOLDS="log,webhook")
    assert ran.returncode == 0
    assert "output webhook is switched off: KeyError" in ran.stderr
    assert "never-used" in ran.stderr


def test_a_rule_of_a_third_party_is_found_and_ignored_by_name(run: Any) -> None:
    """Its phrase continues the first line."""
    ran = run("-c", WASTES)
    first = "whoholds: never-used: <string>:6 in waste opened and closed 4 connections without using them, to "
    assert first in ran.stderr
    assert "never-used" not in run("-c", WASTES, WHOHOLDS_IGNORE="never-used@<string>:waste").stderr
    ran = run("-c", WASTES, WHOHOLDS_IGNORE="never-usde@<string>:waste")
    assert "did you mean never-used?" in ran.stderr


def test_a_rule_whose_name_is_taken_is_not_looked_for() -> None:
    """Two rules of one name would be told as one."""
    from whoholds.plugins import OwnRule, Rule  # noqa: PLC0415
    from whoholds.watching.watch import Watch  # noqa: PLC0415

    with pytest.raises(ValueError, match="'left-open' is there already"):
        Watch().add_rule(OwnRule(Rule("left-open"), lambda _, __: ()))
