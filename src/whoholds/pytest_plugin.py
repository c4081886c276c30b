"""The pytest plug-in: options, marker and fixture. Importing it patches nothing, and imports next to nothing of ours.

`--whoholds` reports leaks, `--whoholds=error` fails the tests that leak. The work is done by `pytest_session`, which
is imported only if an option, a key, a marker or the fixture asks for it.
"""

from __future__ import annotations

import argparse
import os
import warnings
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest

from whoholds.switch import is_on, stands_aside, unsupported

if TYPE_CHECKING:
    from whoholds.testing.pytest_session import Session
    from whoholds.testing.tally import Opened

OFF, REPORT, ERROR = "off", "report", "error"
_OPTIONS = ("--whoholds", *(f"--whoholds={mode}" for mode in (REPORT, ERROR, OFF)))
_MARKER = (
    "whoholds(mode, max_open=…, max_connects=…, allow=…, left_open=…, …): what whoholds asks of this test: off, report "
    "or error; how many connections it may have open at once, or open in all; leaks to accept; a mode for a single rule"
)
# One ini key for each option.
_INI = {
    "whoholds": ("off, report or error", None),
    "whoholds_max_open": ("the most that any test may have open at once", None),
    "whoholds_max_connects": ("the most that any test may open in all", None),
    "whoholds_rules": ("rule=off|report|error, one on each line", "linelist"),
    "whoholds_allow": ("leaks to accept: a rule, or rule@path-glob[:function], one on each line", "linelist"),
    "whoholds_baseline": ("file with the known leaks", None),
    "whoholds_html": ("draw the run: one HTML file that needs no network", None),
    "whoholds_summary": ("whether to print the table at the end", "bool"),
}

session_key = pytest.StashKey["Session"]()


class _Mode(argparse.Action):
    """Takes the mode from the option string, so that `pytest --whoholds tests/` does not read the folder as a mode.

    For this, `--whoholds=error` is an option string of its own, without an argument.
    """

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **{**kwargs, "metavar": None})

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Stores the mode. Called by argparse with the option as it was written."""
        del parser, values
        setattr(namespace, self.dest, (option_string or "").partition("=")[2] or REPORT)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Adds the options and the ini key of each. Called by pytest at its start."""
    _refuse_other_modes(getattr(pluginmanager.get_plugin("pytestconfig"), "invocation_params", None))
    group = parser.getgroup("whoholds", "who holds database connections")
    add = group.addoption
    add(
        *_OPTIONS,
        action=_Mode,
        dest="whoholds",
        default=None,
        help="report leaked connections; =error: fail the tests that leak",
    )
    add("--whoholds-max-open", metavar="N", help=_INI["whoholds_max_open"][0])
    add("--whoholds-max-connects", metavar="N", help=_INI["whoholds_max_connects"][0])
    add("--whoholds-rule", metavar="RULE=MODE", action="append", help="off, report or error for one rule")
    add("--whoholds-allow", metavar="RULE[@PATH[:FUNCTION]]", action="append", help="accept these leaks")
    add("--whoholds-baseline", metavar="FILE", help="fail only for leaks that this file does not know")
    add(
        "--whoholds-update-baseline",
        action="store_true",
        help="write the findings into that file; no test fails",
    )
    add("--whoholds-html", metavar="FILE", help=_INI["whoholds_html"][0])
    add("--whoholds-github", action="store_true", help="print annotations for GitHub Actions, too")
    add("--whoholds-no-summary", action="store_true", help="no table at the end")
    for name, (means, kind) in _INI.items():
        parser.addini(name, means, type=kind, default=True if kind == "bool" else None)  # type: ignore[arg-type]
    for name in settings():
        parser.addini(f"whoholds_{name}", f"overrides WHOHOLDS_{name.upper()} of the environment")


def _refuse_other_modes(invocation: Any) -> None:
    """Raises UsageError with what `--whoholds` takes, if the command line gives it a wrong mode.

    Without this, argparse would say "ignored explicit argument", or pytest "file not found".
    """
    args = [str(arg) for arg in invocation.args] if invocation is not None else []
    takes = f"--whoholds takes nothing, ={REPORT}, ={ERROR} or ={OFF}"
    for arg, after in zip_longest(args, args[1:], fillvalue=""):
        name, equals, value = arg.partition("=")
        if name == "--whoholds" and equals and value not in (REPORT, ERROR, OFF):
            raise pytest.UsageError(f"{takes}, got ={value[:100]}")
        if arg == "--whoholds" and after in (REPORT, ERROR, OFF) and not os.path.exists(after):  # noqa: PTH110
            raise pytest.UsageError(f"{takes}: write --whoholds={after}")


def pytest_configure(config: pytest.Config) -> None:
    """Starts the watch if an option, ini key or WHOHOLDS asks for it. Raises UsageError for a wrong option."""
    config.addinivalue_line("markers", _MARKER)
    given = _given(config)
    if given != OFF and (given or _anything_else(config)) and not stands_aside():
        _session(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Gives every library's names back, unless the process was watched before pytest ran."""
    session = config.stash.get(session_key, None)
    if session is not None:
        session.stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Starts the watch if a collected test has the marker or the fixture. Raises UsageError for a wrong marker."""
    if _mode(config) == OFF:
        return
    marked = [item for item in items if item.get_closest_marker("whoholds") is not None]
    if marked or any("whoholds" in getattr(item, "fixturenames", ()) for item in items):
        _session(config).read_markers(marked)


@pytest.fixture(name="whoholds")
def _whoholds(request: pytest.FixtureRequest) -> Opened:
    """What this test opened until now: `.peak`, `.connects`, `.handles`, `.open` and `.findings` to assert on."""
    if _mode(request.config) == OFF:
        pytest.skip(unsupported() or "needs whoholds, which --whoholds=off switches off")
    return _session(request.config).opened_by(request.node)


def _mode(config: pytest.Config) -> str:
    """What is done: `off` on a Python that cannot be watched, else what is asked for."""
    return OFF if unsupported() else _given(config)


def _given(config: pytest.Config) -> str:
    """`off`, `report`, `error`, or "" where only markers ask: from the command line, the ini file or WHOHOLDS."""
    given = config.getoption("whoholds", None) or config.getini("whoholds")
    if given:
        return str(given).strip().lower()
    on = is_on(os.environ.get("WHOHOLDS", ""))
    draws = config.getoption("whoholds_html", None) is not None or config.getini("whoholds_html")
    return REPORT if on or draws or config.getoption("whoholds_github", None) else ""


def settings() -> list[str]:
    """The fields of `Limits` that have an ini key: all but `outputs`, whose place `--whoholds` takes."""
    from dataclasses import fields

    from whoholds.settings.limits import Limits

    return [field.name for field in fields(Limits) if field.name != "outputs"]


def _anything_else(config: pytest.Config) -> bool:
    options = ("max_open", "max_connects", "rule", "allow", "baseline", "update_baseline")
    keys = ("max_open", "max_connects", "rules", "baseline")
    return any(config.getoption(f"whoholds_{name}", None) not in (None, False, []) for name in options) or any(
        config.getini(f"whoholds_{name}") for name in keys
    )


def _refuse_unknown_keys(config: pytest.Config) -> None:
    """Raises UsageError for an unknown ini key that begins with `whoholds`, which would silently have no effect."""
    from whoholds.settings.matching import nearest

    known = {*_INI, *(f"whoholds_{name}" for name in settings())}
    with warnings.catch_warnings():  # pytest 9.2 warns of `inicfg` and offers no other way to list the keys
        warnings.simplefilter("ignore")
        keys = list(config.inicfg)
    for key in keys:
        if key.startswith("whoholds") and key not in known:
            typed = any(given.startswith(f"{key}=") for given in config.getoption("override_ini") or ())
            where = "given with -o" if typed else f"in {config.inipath}"
            raise pytest.UsageError(f"{key} {where}: there is no such key{nearest(key, sorted(known))}")


def _session(config: pytest.Config) -> Session:
    session = config.stash.get(session_key, None)
    if session is None:
        from whoholds.testing.pytest_session import Session

        _refuse_unknown_keys(config)
        session = config.stash[session_key] = Session(config, _mode(config))
        config.pluginmanager.register(session, "whoholds-session")
    return session
