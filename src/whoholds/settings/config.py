"""The settings of this process: those of the environment, over those of a TOML file. It must change nothing.

The file is the one that WHOHOLDS_CONFIG names, or else the nearest `pyproject.toml`, in the working directory or above,
that has a table `[tool.whoholds]`. It names settings by the fields of `Limits`, and never switches the watch on.
"""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.analysis.frames import shown_path
from whoholds.settings.limits import Limits, given
from whoholds.settings.matching import WrongSetting, WrongSettingsFile, nearest, short
from whoholds.settings.toml_files import PYPROJECT, pyprojects
from whoholds.text.regular import regular_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from whoholds.settings.keywords import Settings

_VARIABLE = "WHOHOLDS_CONFIG"
_NOT_IN_A_FILE = {
    "whoholds": "a file cannot switch whoholds on or off; set WHOHOLDS=1 in the environment",
    "config": "a settings file names no other",
}


class SettingsFile(NamedTuple):
    """A settings file that was read: its path, "" if there is none, and the values by the fields of `Limits`."""

    path: str
    values: Mapping[str, Any]


def limits_from(environ: Mapping[str, str], **settings: Unpack[Settings]) -> Limits:
    """The settings: `settings` win over `environ`, which wins over the file. Raises `WrongSetting` and TypeError."""
    file = _file_for(environ, settings.get("config"))
    limits = Limits.from_environment(environ, below=file.values).with_settings(**settings)
    return limits.with_settings(config=file.path) if file.path else limits


def sources(environ: Mapping[str, str]) -> dict[str, str]:
    """Where the settings that are set come from, by variable: `environment`, or the path of the file.

    Raises `WrongSetting`.
    """
    file = _file_for(environ)
    variables = {setting.name: setting.metadata["variable"] for setting in fields(Limits)}
    in_file = {variables[name]: _shown(file.path) for name in file.values}
    in_environment = {name for name in variables.values() if environ.get(name, "").strip()}
    return {**in_file, **dict.fromkeys(in_environment, "environment")}


def _file_for(environ: Mapping[str, str], named: Any = None) -> SettingsFile:
    if named:
        return settings_file(os.fspath(named), "config")
    return settings_file(environ.get(_VARIABLE, ""))


def settings_file(named: str, variable: str = _VARIABLE) -> SettingsFile:
    """The file at the path `named`, else the nearest `pyproject.toml` with `[tool.whoholds]`.

    Raises `WrongSetting`, which names `variable` if the file cannot be read, and otherwise the file and its key.
    """
    if not named.strip():
        for path, text in pyprojects():
            table = _table_of(path, text)
            if table is not None:
                return SettingsFile(path, _values(path, table))
        return SettingsFile("", {})
    try:
        path = os.path.abspath(os.path.expanduser(named.strip()))  # noqa: PTH111 - never raises
        text = regular_text(path)
    except OSError as error:
        raise WrongSetting(variable, named, f"the path of a TOML file that can be read ({error.strerror})") from None
    except ValueError as error:
        raise WrongSetting(variable, named, f"the path of a TOML file, {error}") from None
    table = _table_of(path, text)
    if table is None:
        raise WrongSettingsFile(_shown(path), "there is no table [tool.whoholds] in it")
    return SettingsFile(path, _values(path, table))


def _shown(path: str) -> str:
    return short(shown_path(path))


def _table_of(path: str, text: str) -> dict[str, Any] | None:
    """The table `[tool.whoholds]`, else the whole of a file that is no `pyproject.toml`, else None."""
    whole = _parsed(path, text)
    tool = whole.get("tool")
    table = tool.get("whoholds") if isinstance(tool, dict) else None
    if table is None and Path(path).name != PYPROJECT:
        return whole
    if table is not None and not isinstance(table, dict):
        raise WrongSettingsFile(_shown(path), "tool.whoholds is no table; write [tool.whoholds]")
    return table


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        why = "Python 3.10 needs the package tomli to read a settings file: pip install tomli"
        raise WrongSettingsFile(_shown(path), why) from None
    try:
        whole: dict[str, Any] = toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongSettingsFile(_shown(path), f"this is no TOML: {short(error)}") from None
    return whole


def _values(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table's values by the fields of `Limits`, checked as in code. Raises `WrongSetting`."""
    by_name = {setting.name: setting for setting in fields(Limits)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        label = f"{_shown(path)}: {short(key)}"
        if key in _NOT_IN_A_FILE:
            raise WrongSetting(label, value, "", why=_NOT_IN_A_FILE[key])
        if key not in by_name:
            known = sorted(by_name.keys() - _NOT_IN_A_FILE)
            raise WrongSetting(label, value, "", why=f"there is no such setting{nearest(key, known)}")
        values[key] = given(by_name[key], _beside(path, key, value), label)
    return values


def _beside(path: str, name: str, value: Any) -> Any:
    """The value, with relative paths of files in it as seen from the folder of the settings file."""
    folder = os.path.dirname(path)
    if name == "journal" and isinstance(value, str) and value:
        return os.path.join(folder, os.path.expanduser(value))  # noqa: PTH111 - never raises
    if name == "ignore":
        rules = value.split(",") if isinstance(value, str) else value
        if isinstance(rules, list) and all(isinstance(rule, str) for rule in rules):
            return [_rule_beside(folder, rule.strip()) for rule in rules]
    return value


def _rule_beside(folder: str, rule: str) -> str:
    if not rule.startswith("@"):
        return rule
    return f"@{os.path.join(folder, os.path.expanduser(rule[1:]))}"  # noqa: PTH111 - never raises
