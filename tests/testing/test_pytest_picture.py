"""`pytest --whoholds-html`: each test's connections, the verdicts as findings, and links from failures to bars."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.inner import said
from tests.picture.reading import column, data_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.inner import Suite

pytestmark = pytest.mark.once

TESTS = """
def test_leaks():
    leak()

def test_fans_out():
    fan_out(3)

def test_nothing():
    pass

def test_allowed():
    leak()
"""


def test_the_picture_shows_what_each_test_opened(suite: Suite, pytester: pytest.Pytester) -> None:
    """With the name of the test at each handle, and findings as the suite judges them: what is allowed is none."""
    result = suite(
        TESTS, "--whoholds=error", "--whoholds-html=run.html", "--whoholds-allow=left-open@app.py:connect", "-v"
    )
    assert result.ret == pytest.ExitCode.OK
    said(result, "picture: run.html")
    data = data_in(pytester.path / "run.html")
    tests = [name.partition("::")[2] for name in column(data, "scope")]
    assert sorted(tests) == ["test_allowed", "test_fans_out", "test_fans_out", "test_fans_out", "test_leaks"]
    assert [how for how, test in zip(column(data, "how"), tests, strict=True) if test != "test_fans_out"] == [
        "open"
    ] * 2
    assert data["findings"] == []
    assert data["table"] == "scopes"


def test_a_failure_links_to_its_bar(suite: Suite, pytester: pytest.Pytester) -> None:
    """The address names the process and the handle that the picture has."""
    result = suite(TESTS, "--whoholds=error", "--whoholds-html=run.html")
    result.assert_outcomes(failed=2, passed=2)
    links = re.findall(r"picture: (file://\S+/run\.html)#handle-(\d+)-(\d+)", result.stdout.str())
    data = data_in(pytester.path / "run.html")
    assert {address for address, _, _ in links} == {(pytester.path / "run.html").as_uri()}
    assert {int(pid) for _, pid, _ in links} == {data["processes"][0]["pid"]}
    assert len(links) == len(data["findings"]) == 2
    for (_, _, key), finding in zip(links, data["findings"], strict=True):
        assert [data["bars"]["key"][bar] for bar in finding["bars"]] == [int(key)]


def test_workers_share_a_picture(suite: Suite, pytester: pytest.Pytester) -> None:
    """Under pytest-xdist each worker is a process of the picture; nothing stays behind."""
    pytest.importorskip("xdist")
    result = suite(TESTS, "--whoholds-html=out/run.html", "-n2", with_=("xdist",))
    assert result.ret == pytest.ExitCode.OK
    data = data_in(pytester.path / "out" / "run.html")
    assert len(data["bars"]["key"]) == 5
    assert 1 <= len(data["processes"]) <= 2
    assert all(process["ended"] is not None for process in data["processes"])


def test_the_ini_file_asks_too(suite: Suite, pytester: pytest.Pytester) -> None:
    """Below the root of the suite; asked for alone it reports, as `--whoholds` does."""
    result = suite(TESTS, ini="whoholds_html = pictures/run.html")
    assert result.ret == pytest.ExitCode.OK
    said(result, "left-open", "picture: pictures?run.html")
    assert len(data_in(pytester.path / "pictures" / "run.html")["findings"]) == 2


def test_a_path_that_cannot_be_written_is_a_usage_error(suite: Suite, pytester: pytest.Pytester) -> None:
    """Before a test runs."""
    result = suite(TESTS, f"--whoholds-html={pytester.path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--whoholds-html takes the path of a file that can be written, got *"])


def test_switched_off_it_draws_nothing(suite: Suite, pytester: pytest.Pytester) -> None:
    """`--whoholds=off` wins."""
    suite(TESTS, "--whoholds=off", "--whoholds-html=run.html")
    assert not (pytester.path / "run.html").exists()


def test_it_draws_beside_a_watch_that_runs_already(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `WHOHOLDS=journal` there are a journal and a picture."""
    monkeypatch.setenv("WHOHOLDS", "journal")
    monkeypatch.setenv("WHOHOLDS_JOURNAL", str(pytester.path / "run.jsonl"))
    suite(TESTS, "--whoholds=error", "--whoholds-html=run.html")
    assert len(data_in(pytester.path / "run.html")["bars"]["key"]) == 5
    assert "left-open" in (pytester.path / "run.jsonl").read_text()


def test_no_folder_of_journals_stays(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are deleted when the picture is drawn."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    suite(TESTS, "--whoholds-html=run.html")
    assert list(tmp_path.glob("whoholds-*")) == []
