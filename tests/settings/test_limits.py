"""Every setting: what it takes, what it does not, and an error that names variable, value and what would do."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from whoholds.analysis.frames import Frame
from whoholds.analysis.rules import RULES
from whoholds.settings import keywords
from whoholds.settings.limits import Limits
from whoholds.settings.matching import IgnoreRule, Threshold, WrongSetting
from whoholds.testing.policy import MARKER

CARS = Frame("/srv/shop/cars.py", 42, "load_cars", "")
NIGHTLY = Frame("/srv/shop/jobs/nightly.py", 3, "load", "")

# variable, text, field, value
GOOD = [
    ("WHOHOLDS", "1", "outputs", ("log", "otel")),
    ("WHOHOLDS", "TRUE", "outputs", ("log", "otel")),
    ("WHOHOLDS", "on", "outputs", ("log", "otel")),
    ("WHOHOLDS", "0", "outputs", ()),
    ("WHOHOLDS", "", "outputs", ()),
    ("WHOHOLDS", "warn, journal,warn", "outputs", ("warn", "journal")),
    ("WHOHOLDS_JOURNAL_MB", "0.5", "journal_mb", 0.5),
    ("WHOHOLDS_HELD_TOO_LONG", "60,600@jobs/*.py", "held_too_long", Threshold(60, ((600, "jobs/*.py"),))),
    ("WHOHOLDS_HELD_TOO_LONG", " 1.5 ", "held_too_long", Threshold(1.5)),
    ("WHOHOLDS_IDLE_IN_TRANSACTION", "0", "idle_in_transaction", Threshold(0)),
    ("WHOHOLDS_OWNER_GONE", "0.3", "owner_gone", 0.3),
    ("WHOHOLDS_WAITING", "5,60@jobs/*.py", "waiting", Threshold(5, ((60, "jobs/*.py"),))),
    ("WHOHOLDS_TOO_MANY", "5@a.py:f,9", "too_many", Threshold(9, ((5, "a.py:f"),))),
    ("WHOHOLDS_STORM", "3.5", "storm", 3.5),
    ("WHOHOLDS_STORM_FOR", "0", "storm_for", 0.0),
    ("WHOHOLDS_SERVER_LIMIT", "100", "server_limit", 100),
    ("WHOHOLDS_ASK_SERVER", "1", "ask_server", True),
    ("WHOHOLDS_TAG", "1", "tag", True),
    ("WHOHOLDS_LEARN", "on", "learn", "1"),
    ("WHOHOLDS_LEARN", "ci/whoholds.json", "learn", "ci/whoholds.json"),
    ("WHOHOLDS_EVERY", "0.1", "every", 0.1),
    ("WHOHOLDS_REPEAT", "0", "repeat", 0.0),
    ("WHOHOLDS_FRAMES", "8", "frames", 8),
    ("WHOHOLDS_SOURCE", "0", "source", False),
    ("WHOHOLDS_NOTES", "off", "notes", False),
    ("WHOHOLDS_LOG", "LINE", "log", "line"),
    ("WHOHOLDS_VERBOSE", "1", "verbose", True),
    ("WHOHOLDS_SPANS", "Queries", "spans", "queries"),
    ("WHOHOLDS_WATCH", "duckdb, snowflake.connector,duckdb", "watch", ("duckdb", "snowflake.connector")),
    ("WHOHOLDS_MAX_HANDLES", "10", "max_handles", 10),
    ("WHOHOLDS_DUMP", "0", "dump", False),
    ("WHOHOLDS_DUMP_SIGNAL", "usr1", "dump_signal", "SIGUSR1"),
    ("WHOHOLDS_DUMP_SIGNAL", "SIGUSR2", "dump_signal", "SIGUSR2"),
    ("WHOHOLDS_SIGTERM", "yes", "sigterm", True),
    ("WHOHOLDS_EXIT_COLLECT", "no", "exit_collect", False),
    ("WHOHOLDS_IGNORE", "left-open@jobs/*.py:load", "ignore", (IgnoreRule("left-open", "jobs/*.py:load"),)),
]

# variable, text, what the message says that it takes
BAD = [
    ("WHOHOLDS", "lgo", "1, 0 or a comma list of outputs: log, warn, otel, journal (did you mean log?)"),
    ("WHOHOLDS_JOURNAL_MB", "0", "a number greater than 0, such as 1 or 0.5"),
    (
        "WHOHOLDS_HELD_TOO_LONG",
        "a minute",
        "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py",
    ),
    (
        "WHOHOLDS_HELD_TOO_LONG",
        "60,70",
        "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py",
    ),
    (
        "WHOHOLDS_HELD_TOO_LONG",
        "600@jobs/*.py",
        "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py",
    ),
    (
        "WHOHOLDS_HELD_TOO_LONG",
        "60,600@",
        "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py",
    ),
    (
        "WHOHOLDS_IDLE_IN_TRANSACTION",
        "-1",
        "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py",
    ),
    ("WHOHOLDS_TOO_MANY", "inf", "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py"),
    ("WHOHOLDS_OWNER_GONE", "-0.1", "seconds, 0 or more, such as 30 or 0.5"),
    ("WHOHOLDS_STORM", "0", "a number greater than 0, such as 1 or 0.5"),
    ("WHOHOLDS_EVERY", "0.0001", "a number greater than 0, such as 1 or 0.5; the least is 0.001"),
    ("WHOHOLDS_JOURNAL_MB", "0.00001", "a number greater than 0, such as 1 or 0.5; the least is 0.001"),
    ("WHOHOLDS_TOO_MANY", "1e99", "60 or 60,600@jobs/*.py; from 0 to 1000000000"),
    ("WHOHOLDS_STORM_FOR", "nan", "seconds, 0 or more, such as 30 or 0.5"),
    ("WHOHOLDS_SERVER_LIMIT", "1.5", "a whole number, 0 or more"),
    ("WHOHOLDS_ASK_SERVER", "2", "1 or 0"),
    ("WHOHOLDS_TAG", "shop", "1 or 0"),
    ("WHOHOLDS_EVERY", "0", "a number greater than 0, such as 1 or 0.5"),
    ("WHOHOLDS_REPEAT", "never", "seconds, 0 or more, such as 30 or 0.5"),
    ("WHOHOLDS_FRAMES", "0", "a whole number, 1 or more"),
    ("WHOHOLDS_SOURCE", "yesplease", "1 or 0"),
    ("WHOHOLDS_NOTES", "maybe", "1 or 0"),
    ("WHOHOLDS_SPANS", "query", "one of off, connections, queries (did you mean queries?)"),
    ("WHOHOLDS_WATCH", "duck db", "a comma list of modules, such as duckdb,snowflake.connector"),
    ("WHOHOLDS_WATCH", "a..b", "a comma list of modules, such as duckdb,snowflake.connector"),
    ("WHOHOLDS_MAX_HANDLES", "-5", "a whole number, 1 or more"),
    ("WHOHOLDS_DUMP_SIGNAL", "SIGUSR3", "the name of a signal, such as SIGUSR1 (did you mean "),
    ("WHOHOLDS_DUMP_SIGNAL", "SIGKILL", "the name of a signal, such as SIGUSR1"),
    ("WHOHOLDS_DUMP_SIGNAL", "SIGKILL", "such as SIGUSR1; no program can catch that one"),
    ("WHOHOLDS_DUMP_SIGNAL", "stop", "such as SIGUSR1; no program can catch that one"),
    ("WHOHOLDS_DUMP", "SIGTERM", "1 or 0"),
    ("WHOHOLDS_SIGTERM", "SIGTERM", "1 or 0"),
    ("WHOHOLDS_LOG", "reports", "one of report, line (did you mean report?)"),
    ("WHOHOLDS_VERBOSE", "very", "1 or 0"),
    ("WHOHOLDS_EXIT_COLLECT", "never", "1 or 0"),
    ("WHOHOLDS_IGNORE", "left-open", "rule@path-glob[:function], such as left-open@jobs/*.py:load"),
    ("WHOHOLDS_IGNORE", "leftopen@a.py", "such as left-open@jobs/*.py:load (did you mean left-open?)"),
    ("WHOHOLDS_IGNORE", "@/nowhere/rules.txt", "a file that can be read after @ (No such file or directory)"),
    ("WHOHOLDS_WAITING", "soon", "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py"),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), GOOD)
def test_a_setting_takes_what_it_takes(variable: str, text: str, name: str, value: object) -> None:
    """From the environment, and the same by its field's name in code."""
    assert getattr(Limits.from_environment({variable: text}), name) == value
    assert getattr(Limits().with_settings(**{name: text}), name) == value


@pytest.mark.parametrize(("variable", "text", "takes"), BAD)
def test_a_wrong_value_is_named_with_its_variable_and_what_that_takes(variable: str, text: str, takes: str) -> None:
    """One line: the variable, what it got, what it takes."""
    with pytest.raises(WrongSetting) as wrong:
        Limits.from_environment({variable: text})
    message = str(wrong.value)
    assert message.startswith(f"{variable}={text}: it takes ")
    assert takes in message
    assert "\n" not in message


def test_every_setting_is_tested_with_good_and_bad_values() -> None:
    """Whoever adds a setting adds it above; a path takes any text."""
    variables = {one.metadata["variable"] for one in fields(Limits)}
    paths = {"WHOHOLDS_JOURNAL", "WHOHOLDS_CONFIG", "WHOHOLDS_LEARN"}
    assert {variable for variable, *_ in GOOD} | paths == variables
    assert {variable for variable, *_ in BAD} | paths == variables


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("WHOHOLDS_TOOMANY", "WHOHOLDS_TOO_MANY"),
        ("WHOHOLDS_IDLE_IN_TRANS", "WHOHOLDS_IDLE_IN_TRANSACTION"),
        ("WHOHOLDS_HELD", "WHOHOLDS_HELD_TOO_LONG"),
        ("WHOHOLDS_journal", "WHOHOLDS_JOURNAL"),
        ("WHOHOLDS_Too_Mani", "WHOHOLDS_TOO_MANY"),
    ],
)
def test_a_setting_that_does_not_exist_is_an_error_with_the_nearest_name(variable: str, nearest: str) -> None:
    """A misspelt limit must not be silently the default."""
    with pytest.raises(WrongSetting, match=f"{variable}=5: .*there is no such setting .did you mean {nearest}"):
        Limits.from_environment({variable: "5"})


def test_the_page_of_settings_and_limits_agree() -> None:
    """docs/settings.md has a row for each variable, with its default; and it lists those that only a start changes."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    defaults: dict[str, str] = {}
    for row in re.findall(r"^\| (`WHOHOLDS.*?\|.*?)\|", page, re.MULTILINE):
        names, _, default = row.partition("|")
        variables = re.findall(r"`(\w+)`", names)
        shown = default.strip().split(", ") if len(variables) > 1 else [default.strip()]
        defaults |= dict(zip(variables, shown, strict=True))
    assert set(defaults) == {one.metadata["variable"] for one in fields(Limits)}
    in_words = {"WHOHOLDS": "unset", "WHOHOLDS_SERVER_LIMIT": "unknown", "WHOHOLDS_DUMP_SIGNAL": "unset"}
    in_words["WHOHOLDS_CONFIG"] = "the nearest `pyproject.toml` with `[tool.whoholds]`"
    assert {name: text.strip("`") for name, text in defaults.items() if name not in in_words} == {
        name: text for name, text in Limits().as_text().items() if name not in in_words
    }
    assert {name: defaults[name] for name in in_words} == in_words
    sentence = re.search(r"only be changed by a start: (.*?)\.", page, re.DOTALL)
    assert sentence is not None
    listed = set(re.findall(r"`(\w+)`", sentence[1]))
    assert listed == {one.name for one in fields(Limits) if one.metadata["at_start"]}


def test_type_checkers_know_every_setting() -> None:
    """`keywords.Settings` has the fields of `Limits`, by the types of their defaults; `Demands` what a marker takes."""
    kinds = {bool: "Flag", int: "Number", float: "Seconds", Threshold: "Limit"}
    known = {name: kind.__forward_arg__ for name, kind in keywords.Settings.__annotations__.items()}
    assert list(known) == [one.name for one in fields(Limits)]
    assert {one.name: known[one.name] for one in fields(Limits) if type(one.default) in kinds} == {
        one.name: kinds[type(one.default)] for one in fields(Limits) if type(one.default) in kinds
    }
    assert set(keywords.Demands.__annotations__) == {*MARKER, *(name.replace("-", "_") for name in RULES)}


def test_empty_is_unset() -> None:
    """`WHOHOLDS_TOO_MANY=` in a compose file."""
    environ = {one.metadata["variable"]: " " for one in fields(Limits) if one.name != "outputs"}
    assert Limits.from_environment(environ) == Limits()


def test_others_variables_are_none_of_our_business() -> None:
    """Nor what tests and examples of ours are told."""
    assert Limits.from_environment({"PATH": "x", "WHOHOLDS_TEST_PG_DSN": "x", "WHOHOLDS_EXAMPLE_DSN": "x"}) == Limits()


def test_a_journal_switches_its_output_on() -> None:
    """By the environment and in code, once."""
    for limits in (
        Limits.from_environment({"WHOHOLDS": "log", "WHOHOLDS_JOURNAL": "a.jsonl"}),
        Limits().with_settings(outputs="log", journal="a.jsonl"),
        Limits().with_settings(outputs="log,journal", journal="a.jsonl"),
    ):
        assert (limits.outputs, limits.journal) == (("log", "journal"), "a.jsonl")


def test_a_path_in_code_may_be_a_path() -> None:
    """`whoholds.start(journal=tmp_path / "run.jsonl")`."""
    assert Limits().with_settings(journal=Path("/tmp/a.jsonl")).journal == "/tmp/a.jsonl"


def test_settings_in_code_are_held_to_the_same_rules() -> None:
    """Numbers, text, flags and lists; a wrong one is named by its field."""
    limits = Limits().with_settings(too_many=5, every=2, source=False, frames=8, outputs=["warn", "log"])
    assert (limits.too_many, limits.every, limits.source, limits.frames) == (Threshold(5), 2.0, False, 8)
    assert limits.outputs == ("warn", "log")
    for name, value in (
        ("every", 0),
        ("frames", -1),
        ("every", None),
        ("ignore", "left-open"),
        ("too_many", -5),
        ("outputs", ("nope",)),
        ("source", 7),
    ):
        with pytest.raises(WrongSetting, match=f"^{name}="):
            Limits().with_settings(**{name: value})


def test_a_setting_that_does_not_exist_in_code_is_a_type_error() -> None:
    """As any wrong keyword is, with the nearest."""
    with pytest.raises(TypeError, match="there is no setting 'to_many' .did you mean too_many"):
        Limits().with_settings(to_many=5)


def test_limits_are_a_value() -> None:
    """Nobody changes them behind a detector's back."""
    with pytest.raises(FrozenInstanceError):
        Limits().every = 2  # type: ignore[misc]


def test_limits_as_text_are_what_the_environment_would_say() -> None:
    """What a journal's first line holds can be set again."""
    for environ in ({}, {variable: text for variable, text, *_ in GOOD if variable != "WHOHOLDS"}):
        limits = Limits.from_environment(environ)
        assert Limits.from_environment(limits.as_text()) == limits


@pytest.mark.parametrize(
    ("pattern", "frame", "expected"),
    [
        ("jobs/*.py", NIGHTLY, 600),
        ("*.py", NIGHTLY, 600),
        ("nightly.py:load", NIGHTLY, 600),
        ("nightly.py:l*", NIGHTLY, 600),
        ("nightly.py:store", NIGHTLY, 60),
        ("ightly.py", NIGHTLY, 60),  # at a folder's boundary only
        ("/srv/shop/jobs/nightly.py", NIGHTLY, 600),
        ("jobs/*.py", CARS, 60),
    ],
)
def test_a_threshold_for_some_lines(pattern: str, frame: Frame, expected: float) -> None:
    """The glob against the end of the path, and the function after a colon."""
    assert Limits.from_environment({"WHOHOLDS_HELD_TOO_LONG": f"60,600@{pattern}"}).held_too_long.at(frame) == expected


def test_the_first_exception_that_matches_counts() -> None:
    """And without a line the default does."""
    threshold = Limits.from_environment({"WHOHOLDS_TOO_MANY": "20,5@cars.py,9@*.py"}).too_many
    assert (threshold.at(CARS), threshold.at(NIGHTLY), threshold.at(None), threshold.least) == (5, 9, 20, 5)


def test_ignore_rules_match_opening_and_spawn_lines() -> None:
    """Of their rule, or of all with `*`."""
    rule = IgnoreRule("left-open", "jobs/*.py")
    assert rule.matches("left-open", (CARS, NIGHTLY))
    assert rule.matches("left-open", (NIGHTLY, None))
    assert not rule.matches("left-open", (CARS, None))
    assert not rule.matches("growing", (NIGHTLY, None))
    assert IgnoreRule("*", "cars.py").matches("growing", (CARS, None))


def test_ignore_rules_from_a_file_have_reasons(tmp_path: Path) -> None:
    """One a line, `#` and why; comments and blank lines are none."""
    file = tmp_path / "ignore.txt"
    file.write_text("# ours\n\nleft-open@jobs/*.py  # one for the whole night\n*@legacy.py:old\n")
    limits = Limits.from_environment({"WHOHOLDS_IGNORE": f"growing@a.py,@{file}"})
    assert limits.ignore == (
        IgnoreRule("growing", "a.py"),
        IgnoreRule("left-open", "jobs/*.py", "one for the whole night"),
        IgnoreRule("*", "legacy.py:old"),
    )
