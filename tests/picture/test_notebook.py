"""A notebook with a real kernel: `%%whoholds` draws a cell, which runs as it would without; values have rich forms."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.worlds import CARS, REPORT, Program, thread
from whoholds.notebook import without_magic
from whoholds.watching.holders import holders_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = """
import json, sys, nbformat, nbclient
cells = json.load(sys.stdin)
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""
FANS_OUT = """%%whoholds
import sqlite3, threading
barrier = threading.Barrier(25)
def work():
    connection = sqlite3.connect("cars.db")
    barrier.wait()
    connection.close()
threads = [threading.Thread(target=work) for _ in range(25)]
[one.start() for one in threads]; [one.join() for one in threads]
"done"
"""
CELLS = {
    "load": "%load_ext whoholds",
    "fans out": FANS_OUT,
    "again": FANS_OUT,
    "keeps": "%%whoholds\nkept = sqlite3.connect('cars.db')",
    "nothing": "%%whoholds\n1 + 1",
    "awaits": "%%whoholds\nimport asyncio\nawait asyncio.sleep(0)\nsqlite3.connect('cars.db').close()",
    "raises": "%%whoholds\nsqlite3.connect('cars.db').execute('no such statement')",
    "takes nothing": "%%whoholds --fast\n1",
    "holders": "import whoholds\nwhoholds.holders()",
    "watch": "whoholds.current()",
    "finding": "whoholds.current().findings[0]",
    "left": "import glob, tempfile\nglob.glob(tempfile.gettempdir() + '/whoholds-*')",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What each cell of `CELLS` showed, run one after the other in one kernel."""
    needed("nbclient")
    needed("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "tmp").mkdir()
    command = [sys.executable, "-W", "ignore", "-c", RUN]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder / "tmp")}
    cells = json.dumps(list(CELLS.values()))
    ran = subprocess.run(command, input=cells, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)  # noqa: PLW1510, S603
    assert ran.returncode == 0, ran.stderr
    return dict(zip(CELLS, json.loads(ran.stdout), strict=True))


def drawn(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The data of the picture among these outputs of a cell, and its line of text."""
    (bundle,) = (output["data"] for output in outputs if "text/html" in output.get("data", {}))
    (page,) = re.findall(r'srcdoc="([^"]*)"', bundle["text/html"])
    _, _, rest = unescape(page).partition('<script type="application/json" id="data">')
    return {"line": bundle["text/plain"], **json.loads(rest.partition("</script>")[0])}


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    """What kinds of outputs they are."""
    return [output["output_type"] for output in outputs]


@pytest.mark.once
@pytest.mark.timeout(180)
class TestCells:
    """Each cell's outputs."""

    def test_a_cell_is_drawn_below_its_own_result(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """With its handles, its finding, its peak, and its lines as the notebook numbers them."""
        assert kinds(outputs["fans out"]) == ["execute_result", "display_data"]
        data = drawn(outputs["fans out"])
        assert len(data["bars"]["key"]) == 25
        assert [data["strings"][finding["rule"]] for finding in data["findings"]] == ["too-many-at-once"]
        assert "25 connections opened, at most 25 at once" in data["line"]
        opened = data["lines"][data["origins"][data["bars"]["origin"][0]][0]]
        assert (data["strings"][opened[0]], opened[1]) == ("Cell In[2]", 5)

    def test_a_cell_that_runs_again_is_drawn_again(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """Without the connections of earlier cells. The same number again is no new high, and no finding."""
        data = drawn(outputs["again"])
        assert (len(data["bars"]["key"]), len(data["findings"])) == (25, 0)
        data = drawn(outputs["keeps"])
        assert (len(data["bars"]["key"]), len(data["findings"])) == (1, 0)
        assert "1 connection opened, at most 1 at once" in data["line"]
        assert data["line"].endswith("; 1 still open")

    def test_a_cell_that_opens_nothing_says_so(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """A line of text says so."""
        assert outputs["nothing"][-1]["data"] == {"text/plain": "whoholds: this cell opened no connection"}

    def test_a_cell_may_await_and_raise(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """As without the magic; the picture comes all the same."""
        assert kinds(outputs["awaits"]) == ["display_data"]
        assert len(drawn(outputs["awaits"])["bars"]["key"]) == 1
        assert sorted(kinds(outputs["raises"])) == ["display_data", "error"]
        assert {output.get("ename") for output in outputs["raises"]} == {None, "OperationalError"}

    def test_the_magic_takes_no_argument(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """The error says what it got."""
        error = next(output for output in outputs["takes nothing"] if output["output_type"] == "error")
        assert (error["ename"], "got %%whoholds --fast" in error["evalue"]) == ("SyntaxError", True)

    def test_values_have_rich_forms(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """Holders, the watch and a finding, with the lines of the notebook."""
        shown = {name: outputs[name][-1]["data"]["text/html"] for name in ("holders", "watch", "finding")}
        assert "Cell In[4], line 2" in shown["holders"]
        assert "watches this process" in shown["watch"]
        assert "too-many-at-once (warning): 25 connections" in shown["finding"]
        assert re.search(r"Cell In\[\d\], line 5 in work", shown["finding"])

    def test_nothing_stays_behind(self, outputs: dict[str, list[dict[str, Any]]]) -> None:
        """No folder of journals is left."""
        assert outputs["left"][-1]["data"]["text/plain"] == "[]"

    def test_the_frame_is_drawn_in_a_browser(
        self, outputs: dict[str, list[dict[str, Any]]], tmp_path: Path, opened: Callable[..., Any]
    ) -> None:
        """In the sandbox of its frame."""
        (bundle,) = (output["data"] for output in outputs["fans out"] if "text/html" in output.get("data", {}))
        page = tmp_path / "notebook.html"
        page.write_text(f"<!DOCTYPE html><html data-drawn='yes'><body>{bundle['text/html']}</body></html>")
        frame = opened(page).frame_locator("iframe")
        frame.locator("html[data-drawn]").wait_for()
        assert "25" in frame.locator("#numbers").inner_text()
        frame.locator("#lanes [role=treeitem]").first.focus()
        frame.locator("#lanes [role=treeitem]").first.press("n")
        assert "Cell In[2]:5" in frame.locator("#details").inner_text()


def test_the_magic_is_an_empty_line() -> None:
    """Other cells stay as they are, also those that only speak of it."""
    assert without_magic(["%%whoholds\n", "1\n"]) == ["\n", "1\n"]
    for lines in ([], ["1\n"], ["# %%whoholds\n"], ["%%whoholdsx\n"], ["x = 1\n", "%%whoholds\n"]):
        assert without_magic(list(lines)) == lines


def test_no_text_becomes_markup() -> None:
    """Names of owners and functions, in each of the rich forms."""
    hostile = "<script>alert('x')</script>&\x1b[31m"
    program = Program(too_many=2)
    for _ in range(3):
        program.opens(CARS.replace("load_cars", hostile), thread(hostile, REPORT))
    program.looks()
    (finding,) = program.watch.findings
    holders = holders_of(program.watch)
    for shown in (finding._repr_html_(), holders._repr_html_(), program.watch._repr_html_()):
        assert "<script" not in shown
        assert "\x1b" not in shown
    assert "&lt;script&gt;" in holders._repr_html_()
    assert "this process is not watched" in holders_of(None)._repr_html_()
