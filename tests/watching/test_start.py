"""`whoholds.start` and `whoholds.watch` where a watch runs already: settings are checked, and applied or said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import whoholds
from whoholds.settings.limits import Limits
from whoholds.settings.matching import Threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.watching.watch import Watch


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Give a watch of this process that runs."""
    monkeypatch.delenv("WHOHOLDS", raising=False)
    watch = whoholds.start(outputs=(), every=3600)
    yield watch
    assert whoholds.stop() == []


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"nonsense": 1}, TypeError, "there is no setting 'nonsense'"),
        ({"too_mny": 3}, TypeError, "did you mean too_many"),
        ({"too_many": "few"}, whoholds.WrongSetting, "too_many=few: it takes a number"),
        ({"every": 0}, whoholds.WrongSetting, "every=0: it takes a number greater than 0"),
    ],
)
def test_settings_are_checked_whether_a_watch_runs_or_not(
    running: Watch, settings: dict[str, object], error: type[Exception], words: str
) -> None:
    """The same error, and the running watch is as it was."""
    before = running.limits
    with pytest.raises(error, match=words):
        whoholds.start(**settings)
    with pytest.raises(error, match=words), whoholds.watch(**settings):
        pass
    assert running.limits == before
    with pytest.raises(error, match=words):
        Limits().with_settings(**settings)


def test_a_second_start_applies_what_it_is_given(running: Watch) -> None:
    """To thresholds, the interval, what is remembered of each line, ignore rules; and what it does not name stays."""
    running.limits = running.limits.with_settings(held_too_long=7)
    assert whoholds.start(too_many=3, repeat=1, frames=5, source=False, ignore="left-open@jobs/*.py") is running
    assert running.limits.too_many == Threshold(3)
    assert running.limits.held_too_long == Threshold(7)
    assert running.repeats.repeat == 1
    assert running.ledger.frames == 5
    assert running.history.sites.source is False
    assert [str(rule) for rule in running.intended.matched] == ["left-open@jobs/*.py"]
    assert running.failed == []


def test_what_only_a_start_can_change_is_said_once(running: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are applied all the same; what is as it was is not said."""
    for _ in range(2):
        whoholds.start(outputs="log", spans="queries", too_many=3, notes=True)
    assert capsys.readouterr().err.splitlines() == [
        "whoholds: outputs=('log',) is not applied: the watch runs with () [setting-not-applied]",
        "whoholds: spans='queries' is not applied: the watch runs with 'connections' [setting-not-applied]",
    ]
    assert running.limits.too_many == Threshold(3)
    assert running.limits.spans == "connections"


def test_a_block_has_its_settings_for_as_long_as_it_lasts(running: Watch) -> None:
    """Where the process is watched already, as under WHOHOLDS=1."""
    with whoholds.watch(too_many=2) as watch:
        assert watch is running
        assert watch.limits.too_many == Threshold(2)
    assert running.limits.too_many == Threshold(20)


def test_what_an_unwatched_process_holds_is_not_known() -> None:
    """It is not said to hold nothing."""
    assert "this process is not watched, so nothing is known" in str(whoholds.holders())
    with whoholds.watch(outputs=(), every=3600):
        assert str(whoholds.holders()) == "whoholds: nothing is held"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: whoholds.ignore("left-open@shop.py"), "takes a function that takes a finding"),  # type: ignore[arg-type]
        (lambda: whoholds.ignore(3), "got 3"),  # type: ignore[arg-type]
        (lambda: whoholds.watch_module("oracledb"), "takes a module, got 'oracledb'; import it first"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_named_at_the_call(call: Callable[[], object], words: str) -> None:
    """And not at a later look."""
    with pytest.raises(TypeError) as raised:
        call()
    assert words in str(raised.value)
