"""pytest's options and ini keys as values; an invalid value raises an error that names what exists."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from whoholds.analysis.frames import shown_path
from whoholds.reporting.files import at_home, expanded, try_to_write
from whoholds.settings.limits import Limits
from whoholds.testing import baseline
from whoholds.testing.policy import Policy, WrongPolicy, allowed, mode, number, rules_from

if TYPE_CHECKING:
    from pathlib import Path


def choices_from(config: pytest.Config, mode_: str) -> Policy:
    """The policy that the command line and the ini file choose. Raises `WrongPolicy` for an invalid choice."""

    def of(name: str) -> Any:
        given = config.getoption(f"whoholds_{name}", None)
        return (
            ("--whoholds-" + name.replace("_", "-"), given)
            if given is not None
            else (f"whoholds_{name}", config.getini(f"whoholds_{name}"))
        )

    numbers = {
        name: number(what, value)
        for name in ("max_open", "max_connects")
        for what, value in [of(name)]
        if value or what.startswith("--")
    }
    rules = rules_from("whoholds_rules", config.getini("whoholds_rules") or ())
    rules |= rules_from("--whoholds-rule", config.getoption("whoholds_rule") or ())
    allow = [allowed("whoholds_allow", one.partition("#")[0].strip()) for one in config.getini("whoholds_allow") or ()]
    allow += [allowed("--whoholds-allow", one) for one in config.getoption("whoholds_allow") or ()]
    chosen = mode("whoholds", mode_) if mode_ else ""
    return Policy(chosen, rules, numbers.get("max_open"), numbers.get("max_connects"), tuple(allow))


def settings_from(config: pytest.Config) -> dict[str, Any]:
    """The settings given by ini keys such as `whoholds_too_many`: fields of `Limits`, written as in the environment."""
    parse = {one.name: one.metadata["parse"] for one in fields(Limits) if one.name != "outputs"}
    given = {name: config.getini(f"whoholds_{name}") for name in parse}
    return {name: parse[name](f"whoholds_{name}", str(text)) for name, text in given.items() if text}


def baseline_path(config: pytest.Config) -> Path | None:
    """The path of the baseline from the command line, otherwise from the ini file, otherwise None.

    Raises `WrongPolicy` if the path on the command line is empty.
    """
    given = config.getoption("whoholds_baseline")
    if given == "":
        raise WrongPolicy("--whoholds-baseline takes the path of a file, got nothing")
    if given:
        return expanded(given)
    given = config.getini("whoholds_baseline")
    return config.rootpath / at_home(given) if given else None


def known_from(config: pytest.Config) -> dict[str, baseline.Known] | None:
    """The baseline's findings by fingerprint; None if no baseline is given or a new one is to be written.

    Raises `WrongPolicy` and `WrongBaselineError`.
    """
    path = baseline_path(config)
    if config.getoption("whoholds_update_baseline"):
        if path is None:
            raise WrongPolicy("--whoholds-update-baseline takes --whoholds-baseline FILE beside it")
        try:
            try_to_write(path, baseline.BASELINE)
        except OSError as error:
            takes = f"takes the path of a file that can be written, got {path}"
            raise WrongPolicy(f"--whoholds-baseline {takes} ({error.strerror or error})") from None
        return None
    return baseline.load(path) if path is not None else None


def summary_from(config: pytest.Config) -> bool:
    """Whether the table at the end of the run is wanted. Raises `WrongPolicy`."""
    try:
        wanted = config.getini("whoholds_summary")
    except (ValueError, pytest.UsageError) as error:  # which of the two depends on pytest's version
        raise WrongPolicy(f"whoholds_summary takes true or false ({error})") from None
    return bool(wanted) and not config.getoption("whoholds_no_summary")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process is pytest-xdist's controller, which runs no tests itself."""
    return not hasattr(config, "workerinput") and config.getoption("dist", "no") != "no"


def only_plans(config: pytest.Config) -> bool:
    """Whether this run only lists tests or what they would set up, so that nothing is judged."""
    return bool(config.getoption("collectonly", False) or config.getoption("setupplan", False))


def runs_all(session: pytest.Session) -> bool:
    """Whether no option or argument chose some of the tests, and the run came to its end.

    Of the rest, nobody knows what they would have left open. A folder given as an argument counts as all of the tests.
    """
    config = session.config
    chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "stepwise"))
    given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else ()
    files = [arg for arg in given if "::" in arg or not (config.invocation_params.dir / arg).is_dir()]
    ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldfail
    return ended and not (chosen or files)


_SETUPS = re.compile(r"_(?:unittest_(?P<unittest>setUpClass)|xunit_setup_(?P<xunit>\w+?))_fixture_(?P<of>.*)")


def name_of(fixturedef: pytest.FixtureDef[Any]) -> str:
    """The name of a fixture, such as `db (session scope, tests/conftest.py:12)`.

    pytest's own fixtures for setUpClass and its like have the name of that method.
    """
    name = fixturedef.argname
    found = _SETUPS.fullmatch(name)
    if found is not None:
        shown = found["unittest"] or f"setup_{found['xunit']}"
        return f"{shown} of {found['of']}" if found["of"] else shown
    code = getattr(fixturedef.func, "__code__", None)
    where = f", {shown_path(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
    return f"{name} ({fixturedef.scope} scope{where})"
