"""The judge of foreign suites: what it holds against whoholds, and what it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import interpreters
from tests.foreign import compare, runs, suites
from tests.foreign.compare import MORE_REPEATS, REPEATS, Exempt, judge
from tests.foreign.preparing import by_unittest
from tests.foreign.runs import Outcome, Run
from tests.foreign.sources import Stdlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.once

GOES_WELL = Run({"a": Outcome("passed"), "b": Outcome("passed")})
FAILS = Run({"a": Outcome("passed"), "b": Outcome("failed", "boom")})


def _again(bare: Run | list[Run], watched: Run | list[Run]) -> Callable[[str, Iterable[str] | None], Run]:
    """Give a function that hands out prepared runs, the last one for ever."""
    runs = {
        side: list(each) if isinstance(each, list) else [each] for side, each in (("bare", bare), ("watched", watched))
    }

    def again(side: str, _only: Iterable[str] | None) -> Run:
        return runs[side].pop(0) if len(runs[side]) > 1 else runs[side][0]

    return again


def _never(_side: str, _only: Iterable[str] | None) -> Run:
    pytest.fail("nothing had to be repeated")


def test_two_equal_runs_are_clean_without_a_repetition() -> None:
    """A test that fails both ways is none of our doing."""
    assert judge(FAILS, FAILS, [], _never).clean


def test_a_test_that_fails_again_and_never_without_counts() -> None:
    """A failure that comes back alone, and only with whoholds, is ours."""
    verdict = judge(GOES_WELL, FAILS, [], _again(GOES_WELL, FAILS))
    assert list(verdict.new) == ["b"]


@pytest.mark.parametrize("kind", ["error", "hung", "crashed", "skipped", "missing"])
def test_any_other_ending_counts(kind: str) -> None:
    """An error, a hang, a crash, a skip and a test that never ran are differences too."""
    other = Run({"a": Outcome("passed"), **({} if kind == "missing" else {"b": Outcome(kind)})})
    verdict = judge(GOES_WELL, other, [], _again(GOES_WELL, other))
    assert verdict.new["b"][1].kind == kind


def test_a_test_that_fails_now_and_then_without_us_is_unstable() -> None:
    """One failure without whoholds among the repetitions acquits."""
    verdict = judge(GOES_WELL, FAILS, [], _again([GOES_WELL, FAILS, GOES_WELL], FAILS))
    assert verdict.clean
    assert list(verdict.shaky) == ["b"]


@pytest.mark.parametrize(("of_the_next", "counts"), [(0, False), (3, False), (MORE_REPEATS, True)])
def test_a_test_that_fails_now_and_then_with_us_counts_if_that_is_no_chance(of_the_next: int, *, counts: bool) -> None:
    """Once in three may be the machine; nearly always, and never without, is not."""
    goes = [GOES_WELL] * (MORE_REPEATS - of_the_next) + [FAILS] * of_the_next
    verdict = judge(GOES_WELL, FAILS, [], _again(GOES_WELL, [FAILS, GOES_WELL, GOES_WELL, *goes]))
    assert list(verdict.new) == (["b"] if counts else [])
    assert list(verdict.shaky) == ([] if counts else ["b"])


def test_a_difference_that_needs_the_whole_suite_is_found_there() -> None:
    """What passes alone and fails among the others again counts."""
    watched = [GOES_WELL] * REPEATS + [FAILS]
    assert not judge(GOES_WELL, FAILS, [], _again(GOES_WELL, watched)).clean


def test_a_difference_that_never_comes_back_is_unstable() -> None:
    """What differed once, and not in any repetition, is said and not counted."""
    verdict = judge(GOES_WELL, FAILS, [], _again(GOES_WELL, GOES_WELL))
    assert verdict.clean
    assert list(verdict.shaky) == ["b"]


def test_a_test_that_fails_the_second_time_without_us_is_unstable() -> None:
    """In the whole suite it now goes the other way round."""
    verdict = judge(GOES_WELL, FAILS, [], _again([GOES_WELL] * REPEATS + [FAILS], GOES_WELL))
    assert verdict.clean
    assert list(verdict.shaky) == ["b"]


def test_a_test_that_failed_only_without_does_not_have_the_whole_suite_run_again() -> None:
    """Alone it went the same way each time: nobody's doing, and a suite may take many minutes."""
    only: list[Iterable[str] | None] = []

    def again(_side: str, tests: Iterable[str] | None) -> Run:
        only.append(tests)
        return GOES_WELL

    verdict = judge(FAILS, GOES_WELL, [], again)
    assert verdict.clean
    assert list(verdict.shaky) == ["b"]
    assert only == [["b"]] * 2 * REPEATS


def test_what_of_whoholds_stood_aside_counts_at_once() -> None:
    """Every test went well, because nothing watched it."""
    verdict = judge(GOES_WELL, Run(GOES_WELL.tests, aside=["output log is switched off: TypeError: no"]), [], _never)
    assert not verdict.clean


def test_a_new_warning_counts_when_it_comes_again() -> None:
    """A warning that only watched runs show, twice, is ours."""
    warned = Run(GOES_WELL.tests, {"ResourceWarning: open": 1})
    assert judge(GOES_WELL, warned, [], _again(GOES_WELL, warned)).new_warnings == ["ResourceWarning: open"]
    assert judge(GOES_WELL, warned, [], _again(warned, warned)).clean


def test_a_listed_exception_is_named_and_one_that_is_not_needed_is_said() -> None:
    """The list excuses what it names, and cannot grow old unnoticed."""
    needed, idle = Exempt("x", "no subclass can", test="b*"), Exempt("x", "mended", test="z")
    verdict = judge(GOES_WELL, FAILS, [needed, idle], _never)
    assert verdict.clean
    assert verdict.exempt == {"b": "no subclass can"}
    assert verdict.idle == [idle]


def test_every_listed_exception_is_about_a_suite_there_is() -> None:
    """A misspelt suite in exceptions.toml would excuse nothing, silently; each has a reason."""
    for each in compare.listed():
        assert each.suite in suites.ALL
        assert bool(each.test) != bool(each.warning)
        assert len(each.reason) > 20


SUITE = """
import os, signal, threading, unittest, warnings

class Tests(unittest.TestCase):
    def test_1_passes(self): print("whoholds: output log is switched off: TypeError: no [output-failed]", flush=True)
    def test_2_dies(self): os.kill(os.getpid(), signal.SIGSEGV)
    def test_3_fails(self): self.fail("boom")
    def test_4_hangs(self): threading.Event().wait()
    def test_5_warns(self): warnings.warn("handle 7 at 0x7f is open", ResourceWarning)
    @unittest.skip("not today")
    def test_6_is_skipped(self): pass
    def test_7_has_a_bad_part(self):
        for part in range(3):
            with self.subTest(part=part):
                self.assertNotEqual(part, 1)
    def test_8_takes_another_name(self): self._testMethodName = "test_8 (twice)"
"""


def test_a_suite_that_dies_and_hangs_still_tells_of_every_test(tmp_path: Path) -> None:
    """A crash and a hang cost one test each; the others run in another process, and are recorded."""
    (tmp_path / "theirs.py").write_text(SUITE, encoding="utf-8")
    suite = suites.Suite(
        "theirs",
        "1",
        Stdlib(),
        (),
        lambda _stack, _source, _python: by_unittest(tmp_path, "theirs"),
        patience=3.0,
    )
    python = Path(sys.executable)
    run = runs.once(suite, python, interpreters.here(), tmp_path, "bare", tmp_path / "work")
    assert [outcome.kind for test, outcome in sorted(run.tests.items()) if test != runs.EXIT] == [
        *("passed", "crashed", "failed", "hung", "passed", "skipped", "failed", "passed"),
    ]
    assert "theirs.Tests.test_8_takes_another_name" in run.tests
    assert run.aside == ["output log is switched off: TypeError: no"]
    assert list(run.warnings) == ["ResourceWarning: handle N at N is open [" + tmp_path.name + "/theirs.py]"]
    only = runs.once(
        suite, python, interpreters.here(), tmp_path, "bare", tmp_path / "work", ["theirs.Tests.test_3_fails"]
    )
    assert set(only.tests) == {"theirs.Tests.test_3_fails", runs.EXIT}
