"""Third parties' driver, output and rule, each installed from its own distribution and found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
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


METADATA = "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"
ENTRIES = "[whoholds.rules]\ntheir-rule = theirs:rule\n"
NAMES = "from whoholds import registry\nprint(*registry.names(registry.RULES))"
FINDER = """
import importlib.metadata as metadata, os, pathlib, sys

class Finder(metadata.DistributionFinder):
    def find_distributions(self, context=metadata.DistributionFinder.Context()):
        yield metadata.PathDistribution(pathlib.Path(os.environ["THEIRS"], "theirs-1.0.dist-info"))

    def find_spec(self, *args):
        return None

sys.meta_path.append(Finder())
"""


def test_a_distribution_is_found_wherever_it_is(run: Any, tmp_path: Path) -> None:
    """In a folder, in an archive, or by a finder of the program's own; files alone say that there is none."""
    folder, archive = tmp_path / "folder", tmp_path / "theirs.zip"
    (folder / "theirs-1.0.dist-info").mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in {"METADATA": METADATA, "entry_points.txt": ENTRIES}.items():
            (folder / "theirs-1.0.dist-info" / name).write_text(text)
            packed.writestr(f"theirs-1.0.dist-info/{name}", text)
    assert run("-c", NAMES, PYTHONPATH="").stdout == "\n"
    assert run("-c", NAMES, PYTHONPATH=str(folder)).stdout == "their-rule\n"
    assert run("-c", NAMES, PYTHONPATH=str(archive)).stdout == "their-rule\n"
    assert run("-c", FINDER + NAMES, PYTHONPATH="", THEIRS=str(folder)).stdout == "their-rule\n"


def test_where_there_is_none_nothing_reads_metadata(run: Any) -> None:
    """importlib.metadata is slow to import, and few programs have plug-ins of ours."""
    imports = (
        "import sqlite3, sys\nprint('whoholds.watching.watch' in sys.modules, 'importlib.metadata' in sys.modules)"
    )
    assert run("-c", imports, PYTHONPATH="").stdout == "True False\n"
    assert run("-c", imports).stdout == "True True\n"


@pytest.mark.parametrize("output", ["otel", "journal", "log"])
def test_the_main_thread_has_its_thread_from_the_start(run: Any, output: str) -> None:
    """Whichever output imports little: the SDK's shutdown waits for the last look by a hook of threading's."""
    ran = run("-c", "import sqlite3, sys\nprint('threading' in sys.modules)", PYTHONPATH="", WHOHOLDS=output)
    assert ran.stdout == "True\n"
