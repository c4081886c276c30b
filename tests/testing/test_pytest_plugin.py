"""The pytest plug-in: who is blamed, for what, when, and how it says so. Each suite runs in a process of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.inner import said
from tests.needs import needed
from whoholds.pytest_plugin import settings
from whoholds.settings.limits import Limits

if TYPE_CHECKING:
    from tests.inner import Suite


def test_the_test_that_opened_it_fails_and_no_later_one(suite: Suite) -> None:
    """Its name, the opening line and the stack are said; the test that ran when it could be seen passes."""
    result = suite("def test_leaks():\n    leak()\n\ndef test_later():\n    connect().close()\n", "--whoholds=error")
    result.assert_outcomes(failed=1, passed=1)
    said(
        result,
        "whoholds: left-open: app.py:6 in connect left open 1 connection at the end of test test_cars.py::test_leaks*",
        "app.py:9 in leak",
        "test_cars.py:4 in test_leaks",
        "FAILED test_cars.py::test_leaks - whoholds: left-open*",
    )


@pytest.mark.once
def test_reported_only_the_suite_passes_and_hears_of_it(suite: Suite) -> None:
    """`--whoholds` fails nobody: one table at the end names the line and the test."""
    result = suite("def test_leaks():\n    leak()\n", "--whoholds")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    said(
        result,
        "= whoholds =",
        "1 connection opened *; 1 finding in 1 test,",
        "1 ×  left-open  app.py:6 in connect",
        "test_leaks",
    )


@pytest.mark.once
def test_what_was_locked_out_is_said_of_its_own_test(suite: Suite) -> None:
    """Although nothing is open any more at its end; a test that tries again with success hears nothing."""
    result = suite(
        "import sqlite3\n"
        "def two(tmp_path, tries):\n"
        "    one, other = (sqlite3.connect(tmp_path / 'a.db', timeout=0) for _ in range(2))\n"
        "    one.execute('INSERT INTO a VALUES (1)') if one.execute('CREATE TABLE a (b)') else None\n"
        "    for _ in range(tries):\n"
        "        try:\n"
        "            other.execute('DELETE FROM a')\n"
        "        except sqlite3.OperationalError:\n"
        "            one.commit()\n"
        "    one.close(); other.close()\n"
        "def test_gives_up(tmp_path):\n    two(tmp_path, 1)\n"
        "def test_tries_again(tmp_path):\n    two(tmp_path, 2)\n",
        "--whoholds",
    )
    result.assert_outcomes(passed=2)
    said(
        result,
        "4 connections opened *; 1 finding in 1 test,",
        "1 ×  locked  test_cars.py:* in two",
        "test_gives_up",
    )


def test_what_the_collector_had_to_free_is_said_to_be_that(suite: Suite) -> None:
    """A connection in a cycle is found at the end of its own test, whatever runs when the collector comes."""
    result = suite(
        "class Ring: pass\ndef test_drops():\n    ring = Ring()\n    ring.me, ring.c = ring, connect()\n"
        "def test_later():\n    import gc; gc.collect()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(failed=1, passed=1)
    said(
        result,
        "collected-open: * never closed 1 connection, freed by garbage collection",
        "FAILED test_cars.py::test_drops*",
    )


def test_a_thread_counts_for_the_test_that_started_it(suite: Suite) -> None:
    """Also when it opens only after that test is over: the one that runs then passes, and the run fails."""
    result = suite(
        "go = threading.Event()\nstarted = []\n"
        "def late():\n    go.wait()\n    leak()\n"
        "def test_starts():\n    started.append(threading.Thread(target=late)); started[0].start()\n"
        "def test_waits():\n    go.set(); started[0].join()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said(result, "1 ×  left-open", "in test_cars.py::test_starts")


LATE = """
go, started = threading.Event(), []
def late():
    go.wait()
    leak()
{marker}def test_starts():
    started.append(threading.Thread(target=late))
    started[0].start()
def test_waits():
    go.set()
    started[0].join()
"""


@pytest.mark.once
def test_what_fails_only_the_run_is_always_said(suite: Suite) -> None:
    """The report and a line to search for, also without the table; the marker of the test that is over still holds."""
    options = ("--whoholds=error", "--whoholds-no-summary")
    result = suite(LATE.format(marker=""), *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said(
        result,
        "= whoholds: found when the tests were over =",
        "whoholds: left-open: app.py:6 in connect left open 1 connection at the end of test test_cars.py::test_starts*",
        "app.py:9 in leak",
        "FAILED test_cars.py::test_starts - whoholds: left-open: app.py:6 in connect*",
    )
    result = suite(LATE.format(marker="@pytest.mark.whoholds('off')\n"), *options)
    assert result.ret == pytest.ExitCode.OK
    assert "left-open" not in result.stdout.str()


SHARED = """
{marker}
@pytest.fixture(scope='module')
def cars():
    leak()
class TestCars:
    @classmethod
    def setup_class(cls): leak()
    def test_one(self, cars): pass
"""


@pytest.mark.once
def test_markers_of_a_module_reach_its_fixtures(suite: Suite) -> None:
    """Whether they ask for more than the options or for less; those of a class hold for its setup alone."""
    suite(SHARED.format(marker=""), "--whoholds=error").assert_outcomes(passed=1, errors=1)
    off = SHARED.format(marker="pytestmark = pytest.mark.whoholds('off')")
    suite(off, "--whoholds=error").assert_outcomes(passed=1)
    result = suite(SHARED.format(marker="pytestmark = pytest.mark.whoholds('error')"))
    result.assert_outcomes(passed=1, errors=1)
    said(result, "*end of fixture setup_class of TestCars*", "*end of fixture cars (module scope, test_cars.py:*")
    text = SHARED.format(marker="").replace(
        "class TestCars", "@pytest.mark.whoholds(allow='left-open')\nclass TestCars"
    )
    result = suite(text, "--whoholds=error")
    result.assert_outcomes(passed=1, errors=1)
    assert "setup_class" not in result.stdout.str()


def test_a_shared_fixture_fails_its_teardown_whatever_its_last_test_did(suite: Suite) -> None:
    """That test may have failed, also as expected: the fixture's leak is not of its making."""
    text = "@pytest.fixture(scope='module')\ndef cars():\n    leak()\n{}def test_last(cars): assert 0\n"
    result = suite(text.format("@pytest.mark.xfail\n"), "--whoholds=error")
    result.assert_outcomes(xfailed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said(result, "ERROR test_cars.py::test_last - whoholds: left-open: *")
    suite(text.format(""), "--whoholds=error").assert_outcomes(failed=1, errors=1)


@pytest.mark.once
def test_a_leak_beside_a_failed_setup_is_shown(suite: Suite) -> None:
    """Below that error, which stays the test's only failure."""
    text = "@pytest.fixture\ndef cars():\n    leak()\n    1 / 0\ndef test_cars(cars): pass\n"
    result = suite(text, "--whoholds=error", "--whoholds-no-summary")
    result.assert_outcomes(errors=1)
    said(
        result,
        "- whoholds at teardown -",
        "whoholds: left-open: app.py:6 in connect *",
        "ERROR test_cars.py::test_cars - ZeroDivisionError*",
    )


@pytest.mark.once
def test_a_leak_counts_its_test_once_whatever_it_was_before(suite: Suite, pytester: pytest.Pytester) -> None:
    """Skipped, passed against expectation, or failed for that reason: the terminal and the XML agree."""
    result = suite(
        "def test_skips():\n    leak()\n    pytest.skip('no server')\n"
        "@pytest.mark.xfail\ndef test_passes(): leak()\n"
        "@pytest.mark.xfail(strict=True)\ndef test_passes_and_must_not(): leak()\n",
        "--whoholds=error",
        "--junitxml=out.xml",
    )
    assert result.parseoutcomes() == {"failed": 3}
    assert sum(line.startswith("FAILED ") for line in result.outlines) == 3
    said(result, "[[]XPASS(strict)[]]", "- whoholds at teardown -", "FAILED *test_passes_and_must_not - [[]XPASS*")
    (run,) = ET.parse(pytester.path / "out.xml").getroot()
    assert {name: run.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3",
        "failures": "3",
        "skipped": "0",
        "errors": "0",
    }
    assert not list(run.iter("skipped"))


def test_what_a_shared_fixture_opens_is_judged_when_it_ends(suite: Suite) -> None:
    """Module, class, session: the fixture is named with its line; one that closes is never heard of."""
    result = suite(
        "@pytest.fixture(scope='module')\ndef cars():\n    leak()\n    yield kept\n"
        "@pytest.fixture(scope='session')\ndef good():\n    c = connect()\n    yield c\n    c.close(); connect().close()\n"
        "class TestCars:\n    @classmethod\n    def setup_class(cls): leak()\n"
        "    def test_one(self, cars, good): pass\n    def test_two(self, cars, good): pass\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=2, errors=1)
    said(
        result,
        "*left open 1 connection at the end of fixture setup_class of TestCars*",
        "*left open 1 connection at the end of fixture cars (module scope, test_cars.py:*",
        "ERROR test_cars.py::TestCars::test_two - whoholds*",
    )
    assert "good" not in result.stdout.str()


def test_a_function_fixture_may_close_what_the_test_left(suite: Suite) -> None:
    """The judgement comes after the test's own teardown."""
    result = suite(
        "@pytest.fixture\ndef tidy():\n    yield\n    kept.pop().close()\ndef test_cars(tidy):\n    leak()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=1)


def test_a_thread_that_is_about_to_close_is_waited_for(suite: Suite) -> None:
    """A short settling, only where somebody would be accused."""
    result = suite(
        "import time\ndef slow():\n    c = connect()\n    opened.set()\n    time.sleep(0.03)\n    c.close()\n"
        "opened = threading.Event()\n"
        "def test_cars():\n    threading.Thread(target=slow).start()\n    opened.wait()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=1)


def test_a_test_that_failed_stays_failed_for_its_own_reason(suite: Suite) -> None:
    """The leak is a section beside it. An expected failure stays expected."""
    result = suite(
        "def test_cars():\n    leak()\n    assert 'mine' == 'yours'\n"
        "@pytest.mark.xfail\ndef test_expected():\n    leak()\n    assert 0\n",
        "--whoholds=error",
    )
    result.assert_outcomes(failed=1, xfailed=1)
    said(
        result,
        "assert 'mine' == 'yours'",
        "- whoholds at teardown -",
        "left-open",
        "FAILED test_cars.py::test_cars - *yours*",
    )


@pytest.mark.once
def test_a_test_may_not_fan_out(suite: Suite) -> None:
    """`max_open` is held against the exact peak, and the failure names the opening and the spawn line."""
    text = (
        "@pytest.mark.whoholds(max_open={most})\ndef test_view():\n    fan_out(3)\n"
        "@pytest.mark.whoholds(max_connects=2)\ndef test_each():\n    for _ in range(3): connect().close()\n"
    )
    result = suite(text.format(most=2))
    result.assert_outcomes(failed=2)
    said(
        result,
        "max-open: app.py:6 in connect opened 3 connections at once, 2 allowed, spawned at line 14 in fan_out",
        "3  opened   app.py:6",
        "spawned  app.py:14",
        "max-connects: app.py:6 in connect opened 3 connections in all, 2 allowed",
    )
    suite(text.format(most=3).replace("max_connects=2", "max_connects=3")).assert_outcomes(passed=2)


@pytest.mark.once
def test_markers_win_over_options(suite: Suite) -> None:
    """Off, report, a rule of its own, what is meant: the closest marker counts, key by key."""
    result = suite(
        "pytestmark = pytest.mark.whoholds('report')\n"
        "def test_module(): leak()\n"
        "@pytest.mark.whoholds('error')\ndef test_error(): leak()\n"
        "@pytest.mark.whoholds('off')\ndef test_off(): leak()\n"
        "@pytest.mark.whoholds('error', left_open='report')\ndef test_rule(): leak()\n"
        "@pytest.mark.whoholds('error', allow='left-open@app.py:connect')\ndef test_allowed(): leak()\n"
        "@pytest.mark.whoholds('error', allow=lambda finding: finding.rule == 'left-open')\ndef test_function(): leak()\n"
        "from whoholds.testing import marker\n"
        "@marker('error', allow='left-open@app.py:connect')\n@marker(max_open=9)\ndef test_typed(): leak()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(failed=1, passed=6)
    said(result, "FAILED test_cars.py::test_error*")


@pytest.mark.once
def test_the_ini_file_and_the_environment_ask_too(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins over the ini file, the ini file over WHOHOLDS in the environment."""
    text = "def test_leaks():\n    leak()\n"
    suite(text, ini="whoholds = error\n").assert_outcomes(failed=1)
    suite(text, ini="whoholds = error\nwhoholds_allow = left-open  # on purpose\n").assert_outcomes(passed=1)
    suite(text, ini="whoholds = error\nwhoholds_rules = left-open=report\n").assert_outcomes(passed=1)
    suite(text, "--whoholds", ini="whoholds = error\n").assert_outcomes(passed=1)
    monkeypatch.setenv("WHOHOLDS", "1")
    result = suite(text)
    result.assert_outcomes(passed=1)
    said(result, "1 ×  left-open")
    assert "left-open" not in result.stderr.str()


@pytest.mark.parametrize(
    ("options", "text", "complaint"),
    [
        (
            ["--whoholds=eror"],
            "",
            "--whoholds takes nothing, =report, =error or =off, got =eror",
        ),
        (
            ["--whoholds", "--whoholds-max-open=few"],
            "",
            "--whoholds-max-open takes a number, 0 or more, got 'few'",
        ),
        (
            ["--whoholds-rule=left-opn=error"],
            "",
            "--whoholds-rule takes rule=off|report|error, *got 'left-opn=error'; rules: *(did you mean left-open?)",
        ),
        (["--whoholds-rule=left-open"], "", "--whoholds-rule takes rule=off|report|error"),
        (["--whoholds-allow=lost"], "", "--whoholds-allow takes a rule, rule@path-glob"),
        (["--whoholds-baseline=none.json"], "", "none.json: No such file*--whoholds-update-baseline"),
        (["--whoholds", "-o", "whoholds_too_many=few"], "", "whoholds_too_many=few: it takes"),
        (["--whoholds", "-o", "whoholds_to_many=3"], "", "whoholds_to_many given with -o: there is no such key"),
        (["--whoholds", "-o", "whoholds_summary=few"], "", "whoholds_summary takes true or false (*'few')"),
        (
            [],
            "@pytest.mark.whoholds(max_opn=3)",
            "test_cars.py::test_cars: whoholds has no 'max_opn' (did you mean max_open?)",
        ),
        ([], "@pytest.mark.whoholds('of')", "takes off, report, error, got 'of' (did you mean off?)"),
        (
            [],
            "@pytest.mark.whoholds(max_open='x')",
            "whoholds(max_open=…) takes a number, 0 or more, got 'x'",
        ),
    ],
)
def test_what_does_not_exist_is_a_usage_error_that_names_what_does(
    suite: Suite, options: list[str], text: str, complaint: str
) -> None:
    """For options, ini keys, settings and markers."""
    result = suite(f"{text}\ndef test_cars(): pass\n", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{complaint.replace('[', '[[]')}*"])


def test_every_setting_has_its_ini_key() -> None:
    """All but the outputs, which the mode stands for."""
    assert [one.name for one in fields(Limits) if one.name != "outputs"] == settings()


def test_unasked_it_patches_and_imports_nothing(suite: Suite) -> None:
    """Installed, switched off, or not loaded at all: the library's own functions are there."""
    # the settings' names are its ini keys
    light = "pytest_plugin settings settings.limits settings.parsers settings.matching switch analysis analysis.rules"
    text = (
        "import sys\ndef test_bare():\n    assert type(sqlite3.connect).__name__ == 'builtin_function_or_method'\n"
        "    ours = {name[9:] for name in sys.modules if name.startswith('whoholds.')}\n"
        f"    assert ours <= set({light!r}.split())\n"
    )
    for options in ([], ["--whoholds=off"], ["-p", "no:whoholds"]):
        suite(text, *options).assert_outcomes(passed=1)


def test_plain_pytest_runs(suite: Suite, pytester: pytest.Pytester) -> None:
    """Most runs have no arguments at all."""
    suite("def test_nothing():\n    pass\n")
    result = pytester.run(sys.executable, "-m", "pytest")
    assert result.ret == 0
    result.assert_outcomes(passed=1)


def test_the_fixture_gives_what_the_running_test_opened(suite: Suite) -> None:
    """Handles, peak, connects and findings, exact at the moment they are asked for."""
    suite(
        "def test_view(whoholds):\n"
        "    fan_out(3)\n"
        "    assert whoholds.peak == whoholds.connects == len(whoholds.handles) == 3\n"
        "    assert not whoholds.open and not whoholds.findings\n"
        "    mine = connect()\n"
        "    assert len(whoholds.open) == 1 and whoholds.peak == 3\n"
        "    assert repr(whoholds) == '<whoholds: 4 connections opened, 1 open, at most 3 at once>'\n"
        "    mine.close()\n"
        "def test_next(whoholds):\n    assert whoholds.peak == 0\n"
    ).assert_outcomes(passed=2)
    suite("def test_view(whoholds): pass\n", "--whoholds=off").assert_outcomes(skipped=1)


@pytest.mark.once
def test_a_running_test_may_be_the_first_to_ask_for_the_fixture(suite: Suite) -> None:
    """What it opens from then on is counted, and the tests after it run as ever."""
    suite(
        "def test_view(request):\n    whoholds = request.getfixturevalue('whoholds')\n    connect().close()\n"
        "    assert whoholds.connects == 1\n"
        "def test_plain(): leak()\n"
    ).assert_outcomes(passed=2)


def test_it_keeps_nobodys_objects(suite: Suite) -> None:
    """What a test drops is gone at the end of the test, and what it left can still be freed."""
    suite(
        "import gc, weakref\nrefs = []\n"
        "class Own(sqlite3.Connection): pass\n"
        "def test_leaks(whoholds):\n    c = sqlite3.connect(':memory:', factory=Own)\n    refs.append(weakref.ref(c)); kept.append(c)\n"
        "    assert whoholds.open\n"
        "def test_later():\n    kept.clear(); gc.collect()\n    assert refs[0]() is None\n",
        "--whoholds",
    ).assert_outcomes(passed=2)


@pytest.mark.once
def test_a_baseline_lets_pass_what_is_known(suite: Suite, pytester: pytest.Pytester) -> None:
    """Only new fingerprints fail; what became fewer is said, so that the file can follow."""
    text = "def test_old():\n    leak(); leak()\n"
    suite(text, "--whoholds=error", "--whoholds-baseline=known.json", "--whoholds-update-baseline").assert_outcomes(
        passed=1
    )
    (entry,) = json.loads((pytester.path / "known.json").read_text())["findings"]
    assert entry["rule"] == "left-open"
    assert entry["opened"] == "app.py in connect"
    options = ("--whoholds=error", "--whoholds-baseline=known.json")
    known = suite(text, *options)
    known.assert_outcomes(passed=1)
    said(known, "2 ×  left-open  app.py:* in connect (in the baseline)")
    result = suite(
        text.replace("leak(); ", "") + "def test_new():\n    kept.append(sqlite3.connect('new.db'))\n",
        *options,
    )
    result.assert_outcomes(passed=1, failed=1)
    said(
        result,
        "new, not in the baseline: left-open: opened in test_cars.py in test_new",
        "fewer, 1 instead of 2",
    )
    known = (pytester.path / "known.json").read_text()
    for chosen in (("-k", "none"), ("test_cars.py::test_none",), ("--co",)):
        part = suite(f"{text}def test_none(): pass\n", *options, *chosen)
        assert part.ret == pytest.ExitCode.OK
        assert "left-open" not in part.stdout.str()
    suite(text, *options, "--whoholds-update-baseline", "--setup-plan")
    assert (pytester.path / "known.json").read_text() == known


@pytest.mark.once
def test_the_table_can_be_hidden_and_v_shows_more(suite: Suite) -> None:
    """One option for the table; -v has every line, every test, and the stacks."""
    text = "".join(f"def test_{n}():\n    leak()\n" for n in range(4))
    assert "= whoholds =" not in suite(text, "--whoholds", "--whoholds-no-summary").stdout.str()
    assert "= whoholds =" not in suite(text, "--whoholds", ini="whoholds_summary = false\n").stdout.str()
    said(suite(text, "--whoholds"), "4 ×  left-open", "test_0", "test_1", "and 2 more")
    said(suite(text, "--whoholds", "-v"), "4 ×  left-open", "test_3", "how it was opened")


@pytest.mark.once
def test_nothing_is_said_of_tests_that_are_only_listed(suite: Suite, pytester: pytest.Pytester) -> None:
    """No table, no picture."""
    for lists in ("--co", "--setup-plan"):
        result = suite("def test_leaks():\n    leak()\n", "--whoholds", "--whoholds-html=run.html", lists)
        assert result.ret == pytest.ExitCode.OK
        assert "= whoholds =" not in result.stdout.str()
        assert not (pytester.path / "run.html").exists()


@pytest.mark.once
def test_annotations_alone_switch_it_on(suite: Suite) -> None:
    """A workflow command for each finding."""
    result = suite("def test_leaks():\n    leak()\n", "--whoholds-github")
    assert result.ret == pytest.ExitCode.OK
    said(result, "::warning file=app.py,line=6*left-open")


@pytest.mark.once
def test_a_run_within_a_test_leaves_the_paths_as_they_were(suite: Suite) -> None:
    """Although its folder is another."""
    result = suite(
        "import pathlib\n"
        "def test_runs_others(tmp_path):\n"
        "    (tmp_path / 'test_inner.py').write_text('def test_inner(): pass')\n"
        "    (tmp_path / 'pytest.ini').write_text('[pytest]')\n"
        "    wrong = pytest.main(['-p', 'no:cacheprovider', '--whoholds-rule=none', str(tmp_path)])\n"
        "    assert wrong == pytest.ExitCode.USAGE_ERROR\n"
        "    assert pytest.main(['-p', 'no:cacheprovider', '--whoholds', str(tmp_path)]) == 0\n"
        "def test_leaks(): leak()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(passed=1, failed=1)
    said(result, "whoholds: left-open: app.py:6 in connect *")


@pytest.mark.once
def test_junit_carries_it(suite: Suite, pytester: pytest.Pytester) -> None:
    """The failure's text for one that fails; a property for one that is only reported."""
    text = "def test_leaks():\n    leak()\n"
    suite(text, "--whoholds=error", "--junitxml=out.xml")
    assert "left open 1 connection" in (pytester.path / "out.xml").read_text()
    suite(text, "--whoholds", "--junitxml=out.xml")
    assert (
        '<property name="whoholds" value="left-open: app.py:6 in connect left open 1 connection'
        in (pytester.path / "out.xml").read_text()
    )


def test_a_watch_that_runs_already_is_used_and_left_alone(suite: Suite) -> None:
    """A conftest that started watching has its watch back at the end, with its outputs."""
    result = suite(
        "import whoholds\ndef test_leaks():\n    assert whoholds.current() is watch[0]\n    leak()\n".replace(
            "watch[0]", "sqlite3.watch"
        ),
        "--whoholds=error",
        conftest=(
            "import sqlite3, whoholds\nsqlite3.watch = whoholds.start(outputs='log')\n"
            "def pytest_unconfigure(config):\n    print('outputs', len(sqlite3.watch.outputs), whoholds.current() is sqlite3.watch)\n"
        ),
    )
    result.assert_outcomes(failed=1)
    said(result, "outputs 1 True")


def test_a_scope_of_the_programs_own_counts_for_the_test_around_it(suite: Suite) -> None:
    """A request that leaks inside a test fails that test."""
    result = suite(
        "import whoholds, warnings\ndef test_request():\n    with warnings.catch_warnings(), whoholds.scope('GET /cars'):\n"
        "        warnings.simplefilter('ignore')\n        leak()\n",
        "--whoholds=error",
    )
    result.assert_outcomes(failed=1)
    said(result, "left-open: app.py:6 in connect left open 1 connection")


@pytest.mark.once
def test_a_slip_in_ignore_or_allow_ends_no_run(suite: Suite) -> None:
    """Both count as no match: the leak fails its test, and the run goes on."""
    result = suite(
        "import pytest, whoholds\n@pytest.mark.whoholds(allow=lambda finding: finding.lineno)\n"
        "def test_leaks():\n    leak()\n\ndef test_later():\n    connect().close()\n",
        "--whoholds=error",
        conftest="import whoholds\nwhoholds.ignore(lambda finding: 1 / 0)\n",
    )
    result.assert_outcomes(failed=1, passed=1)
    said(result, "whoholds: left-open: app.py:6 in connect left open 1 connection at the end of test *")
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_a_test_hears_nothing_of_what_another_left_open(suite: Suite) -> None:
    """Nineteen of an earlier test, which may leave them, and one that is closed: the table blames nobody either."""
    text = """
import pytest, sqlite3

kept = []

def connect():
    return sqlite3.connect("cars.db")

@pytest.mark.whoholds(allow="left-open")
def test_may_leave():
    kept.extend(connect() for _ in range(19))

def test_innocent(whoholds):
    connection = connect()
    assert not whoholds.findings
    connection.close()
    assert not whoholds.findings
"""
    result = suite(text, "--whoholds=error", "--whoholds-rule=too-many-at-once=error", "-p", "no:randomly")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*in *test_innocent*")


@pytest.mark.once
def test_what_an_earlier_test_borrowed_makes_no_nesting(suite: Suite) -> None:
    """A test or fixture that is over did not give its loan back; the test that borrows then holds only one."""
    needed("sqlalchemy")
    text = """
from sqlalchemy import create_engine, pool
engine = create_engine('sqlite:///pool.db', poolclass=pool.QueuePool)
@pytest.fixture(scope='class')
def cars():
    kept.append(engine.connect())
class TestCars:
    def test_leaks(self, cars): kept.append(engine.connect())
class TestInnocent:
    def test_innocent(self):
        engine.connect().close()
    def test_nests(self):
        first = engine.connect()
        engine.connect().close()
        first.close()
"""
    result = suite(text, "--whoholds", "--whoholds-rule=second-while-holding=error")
    said(result, "FAILED *test_nests - whoholds: second-while*")
    result.stdout.no_fnmatch_line("FAILED *test_innocent*")


@pytest.mark.once
def test_a_test_that_opens_too_many_hears_of_its_own(suite: Suite) -> None:
    """Two of an earlier test are no part of its twenty."""
    text = """
import pytest, sqlite3

kept = []

def connect():
    return sqlite3.connect("cars.db")

@pytest.mark.whoholds(allow="left-open")
def test_may_leave():
    kept.extend(connect() for _ in range(2))

def test_opens_many():
    many = [connect() for _ in range(20)]
    for connection in many:
        connection.close()
"""
    result = suite(text, "--whoholds=error", "--whoholds-rule=too-many-at-once=error", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*too-many-at-once*20*"])
    result.stdout.no_fnmatch_line("*opened 22 of*")


LEAKS_ONE = """
import sqlite3
kept = []
def test_leaks():
    kept.append(sqlite3.connect("cars.db"))
"""


@pytest.mark.once
def test_a_leak_is_a_failure_in_junits_xml(suite: Suite, pytester: pytest.Pytester) -> None:
    """And no error of its teardown; the test counts once."""
    suite(LEAKS_ONE, "--whoholds=error", "--junitxml=out.xml").assert_outcomes(failed=1)
    (run,) = ET.parse(pytester.path / "out.xml").getroot()
    assert {name: run.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "1",
        "failures": "1",
        "errors": "0",
    }
    (failure,) = run.iter("failure")
    assert (failure.get("message") or "").startswith("whoholds: left-open")
    assert "whoholds/testing" not in (failure.text or "")


@pytest.mark.once
def test_plug_ins_hear_of_a_failed_call(suite: Suite, pytester: pytest.Pytester) -> None:
    """Those that annotate a pull request print failures of the call only, with the line of its `reprcrash`."""
    pytester.makeconftest(
        """
        from _pytest._code.code import ExceptionRepr

        def pytest_runtest_logreport(report):
            if report.when == "call" and report.failed and isinstance(report.longrepr, ExceptionRepr):
                print(f"::error file={report.location[0]}::{report.longrepr.reprcrash.message}")
        """
    )
    result = suite(LEAKS_ONE, "--whoholds=error", "-s")
    result.stdout.fnmatch_lines(["*::error file=test_*::whoholds: left-open*"])


@pytest.mark.once
def test_one_line_is_told_once_in_a_test(suite: Suite) -> None:
    """What the collector freed before the end and what it freed at it are one finding."""
    text = """
import gc, sqlite3

class Session:
    def __init__(self):
        self.connection, self.itself = sqlite3.connect("cars.db"), self

def test_drops():
    for number in range(6):
        Session()
        if number == 3:
            gc.collect()
"""
    result = suite(text, "--whoholds=error")
    result.assert_outcomes(failed=1)
    assert sum("never closed" in line for line in result.outlines if line.startswith("whoholds: ")) == 1
    result.stdout.fnmatch_lines(["whoholds: collected-open*never closed 6 connections*"])


def test_private_databases_that_are_dropped_fail_no_test(suite: Suite) -> None:
    """Nobody else could see them; one that is still open at the end is left open all the same."""
    text = """
import sqlite3
kept = []
def test_drops():
    sqlite3.connect(":memory:").execute("SELECT 1")
def test_keeps():
    kept.append(sqlite3.connect(":memory:"))
"""
    suite(text, "--whoholds=error").assert_outcomes(passed=1, failed=1)


def test_a_failing_block_shows_no_frame_of_ours(suite: Suite) -> None:
    """The test's own line, and the report."""
    text = """
import sqlite3, unittest
from whoholds.testing import NoLeaksMixin, assert_no_leaks
kept = []

def test_block():
    with assert_no_leaks():
        kept.append(sqlite3.connect("cars.db"))

@assert_no_leaks()
def test_decorated():
    kept.append(sqlite3.connect("cars.db"))

class TestCars(NoLeaksMixin, unittest.TestCase):
    def test_it(self):
        kept.append(sqlite3.connect("cars.db"))
"""
    result = suite(text)
    result.assert_outcomes(failed=3)
    result.stdout.no_fnmatch_line("*whoholds/testing/*")
    result.stdout.no_fnmatch_line("*raise LeakError*")


def test_a_failed_assertion_on_findings_reads_like_a_report(suite: Suite) -> None:
    """The first line stands in the assertion, and the whole report below the traceback."""
    text = "def test_cars(whoholds):\n    leak(), leak(), leak()\n    assert not whoholds.findings\n"
    result = suite(text, ini="whoholds_too_many = 2\n")
    said(
        result,
        "assert not [<too-many-at-once: app.py:6 in connect opened 3 connections at once, *",
        "- whoholds.findings -",
        "whoholds: too-many-at-once: app.py:6 in connect opened 3 connections at once, *",
        "     3  opened   app.py:6 in connect *",
    )
