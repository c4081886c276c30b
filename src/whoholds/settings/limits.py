"""Limits: every setting in one frozen value, from which environment variable, option and pytest key are derived.

It must not read any environment but the mapping that it is given, and changes nothing.

The file is long because it is the one list of all settings, each with its meaning.
"""

from __future__ import annotations

import os
from dataclasses import Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from whoholds.settings import parsers
from whoholds.settings.matching import IgnoreRule, Threshold, WrongSetting, nearest
from whoholds.switch import OFF, ON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Unpack

    from whoholds.settings.keywords import Settings


# The outputs that come with whoholds: name in WHOHOLDS=… → maker, a `plugins.OutputMaker`, as module:name.
OUTPUTS = {
    "log": "whoholds.outputs.log:LogOutput",
    "warn": "whoholds.outputs.warn:maker",
    "otel": "whoholds.outputs.otel:OtelOutput",
    "journal": "whoholds.outputs.journal:JournalOutput",
}


def _setting(
    default: Any, variable: str, parse: Callable[[str, str], Any], takes: str, means: str, *, at_start: bool = False
) -> Any:
    """The dataclass field of one setting. `at_start` is true for a setting that takes effect only when a watch starts.

    A running watch keeps such a setting as it started with.
    """
    metadata = {"variable": variable, "parse": parse, "takes": takes, "means": means, "at_start": at_start}
    return field(default=default, metadata=metadata)


def given(setting: Field[Any], value: Any, label: str) -> Any:
    """The value of a setting that code or a file gives, checked by the same rules as in the environment.

    `label` names the setting in the message of the `WrongSetting` that this raises.
    """
    takes, default = setting.metadata["takes"], setting.default
    if isinstance(value, bool) and not takes.startswith("1"):  # it is no number, though Python takes it for one
        raise WrongSetting(label, value, takes)
    if isinstance(value, list | tuple) and isinstance(default, tuple | Threshold) and _is_plain(value):
        value = ",".join(map(str, value))
    elif isinstance(value, os.PathLike) and setting.name in ("journal", "config"):
        value = os.fspath(value)
    elif isinstance(value, bool | int | float):
        if isinstance(value, int) and abs(value) > parsers.MOST:  # str() raises for a number of thousands of digits
            raise WrongSetting(label, value, f"{takes}, {parsers.MOST} at most")
        value = f"{value:d}" if isinstance(value, int) else repr(value)
    elif isinstance(value, type(default)) and not isinstance(value, str):
        return value
    if not isinstance(value, str):
        raise WrongSetting(label, value, takes)
    return setting.metadata["parse"](label, value)


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether these are texts and numbers, which a comma list can hold."""
    return all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values)


def _outputs(name: str, text: str) -> tuple[str, ...]:
    low = text.strip().lower()
    if low in OFF:
        return ()
    if low in ON:
        return ("log", "otel")
    wanted = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    from whoholds import registry

    known = (*OUTPUTS, *registry.names(registry.OUTPUTS))
    for output in wanted:
        if output not in known:
            takes = f"1, 0 or a comma list of outputs: {', '.join(known)}{nearest(output, known)}"
            raise WrongSetting(name, text, takes)
    return wanted


@dataclass(frozen=True)
class Limits:
    """Every setting. Durations are in seconds; each field's metadata holds its variable, form and meaning."""

    outputs: tuple[str, ...] = _setting(
        ("log", "otel"),
        "WHOHOLDS",
        _outputs,
        "1, 0 or a comma list of outputs",
        "the outputs that findings go to",
        at_start=True,
    )
    journal: str = _setting(
        "",
        "WHOHOLDS_JOURNAL",
        parsers.unchanged,
        "a path",
        "the journal file; {pid} and {host} are filled in",
        at_start=True,
    )
    journal_mb: float = _setting(
        100.0,
        "WHOHOLDS_JOURNAL_MB",
        parsers.number(0.001),
        "megabytes",
        "the size at which the journal is rotated, once",
        at_start=True,
    )
    held_too_long: Threshold = _setting(  # noqa: RUF009 - a frozen value as a default
        Threshold(60),
        "WHOHOLDS_HELD_TOO_LONG",
        parsers.threshold,
        "seconds",
        "how long a connection may be held without being used",
    )
    idle_in_transaction: Threshold = _setting(  # noqa: RUF009 - a frozen value as a default
        Threshold(10),
        "WHOHOLDS_IDLE_IN_TRANSACTION",
        parsers.threshold,
        "seconds",
        "how long a transaction may stay open without a statement",
    )
    owner_gone: float = _setting(
        5.0,
        "WHOHOLDS_OWNER_GONE",
        parsers.number(0),
        "seconds",
        "how long a connection may stay open after its thread or task has ended",
    )
    waiting: Threshold = _setting(  # noqa: RUF009 - a frozen value as a default
        Threshold(5),
        "WHOHOLDS_WAITING",
        parsers.threshold,
        "seconds",
        "how long a thread or task may wait for a pool's connection",
    )
    too_many: Threshold = _setting(  # noqa: RUF009 - a frozen value as a default
        Threshold(20),
        "WHOHOLDS_TOO_MANY",
        parsers.threshold,
        "a number",
        "how many connections open at once to one database are reported",
    )
    storm: float = _setting(
        20.0,
        "WHOHOLDS_STORM",
        parsers.number(0.001),
        "a number",
        "how many connections opened in one second are a storm",
    )
    storm_for: float = _setting(
        5.0,
        "WHOHOLDS_STORM_FOR",
        parsers.number(0),
        "seconds",
        "how long that rate must last; 0: a single second is enough",
    )
    server_limit: int = _setting(
        0,
        "WHOHOLDS_SERVER_LIMIT",
        parsers.number(0, int),
        "a number",
        "how many connections the server allows this user; 0: unknown",
    )
    ask_server: bool = _setting(
        False,
        "WHOHOLDS_ASK_SERVER",
        parsers.flag,
        "1 or 0",
        "1: ask the server for that limit, and after a refusal who else is connected",
        at_start=True,
    )
    tag: bool = _setting(
        False,
        "WHOHOLDS_TAG",
        parsers.flag,
        "1 or 0",
        "1: connections carry program and opening line where the server shows them",
        at_start=True,
    )
    learn: str = _setting(
        "",
        "WHOHOLDS_LEARN",
        parsers.learn,
        "1, 0 or the path of a baseline or journal",
        "1: learn what is usual for each line, and report what is far outside it",
        at_start=True,
    )
    every: float = _setting(1.0, "WHOHOLDS_EVERY", parsers.number(0.001), "seconds", "the time between two looks")
    repeat: float = _setting(
        600.0, "WHOHOLDS_REPEAT", parsers.number(0), "seconds", "the time before a finding is reported again"
    )
    frames: int = _setting(
        32, "WHOHOLDS_FRAMES", parsers.number(1, int), "a number", "how many frames of each opening stack are kept"
    )
    source: bool = _setting(True, "WHOHOLDS_SOURCE", parsers.flag, "1 or 0", "0: reports contain no source lines")
    notes: bool = _setting(
        True,
        "WHOHOLDS_NOTES",
        parsers.flag,
        "1 or 0",
        "0: no note is added to the exception of a refusal or a lock",
        at_start=True,
    )
    log: str = _setting(
        "report",
        "WHOHOLDS_LOG",
        parsers.choice("report", "line"),
        "report or line",
        "report: the whole report with each log record, as its stack_info; line: the first line only",
    )
    verbose: bool = _setting(
        False, "WHOHOLDS_VERBOSE", parsers.flag, "1 or 0", "1: the log also gets findings of severity info"
    )
    spans: str = _setting(
        "connections",
        "WHOHOLDS_SPANS",
        parsers.choice("off", "connections", "queries"),
        "off, connections or queries",
        "the spans that are created",
        at_start=True,
    )
    watch: tuple[str, ...] = _setting(
        (),
        "WHOHOLDS_WATCH",
        parsers.modules,
        "a comma list of modules",
        "DB-API modules to watch that have no driver of their own",
        at_start=True,
    )
    config: str = _setting(
        "",
        "WHOHOLDS_CONFIG",
        parsers.unchanged,
        "the path of a TOML file",
        "the file with settings; by default the nearest pyproject.toml with [tool.whoholds]",
        at_start=True,
    )
    max_handles: int = _setting(
        100_000,
        "WHOHOLDS_MAX_HANDLES",
        parsers.number(1, int),
        "a number",
        "how many connections are remembered; the others are only counted",
        at_start=True,
    )
    dump: bool = _setting(
        True,
        "WHOHOLDS_DUMP",
        parsers.flag,
        "1 or 0",
        "0: the process does not answer `whoholds dump` and `whoholds top`",
        at_start=True,
    )
    dump_signal: str = _setting(
        "",
        "WHOHOLDS_DUMP_SIGNAL",
        parsers.signal_name,
        "a signal's name",
        "the signal that prints who holds what now",
        at_start=True,
    )
    sigterm: bool = _setting(
        False,
        "WHOHOLDS_SIGTERM",
        parsers.flag,
        "1 or 0",
        "1: take a last look before SIGTERM ends the process, where it has its default action",
        at_start=True,
    )
    exit_collect: bool = _setting(
        True, "WHOHOLDS_EXIT_COLLECT", parsers.flag, "1 or 0", "0: no garbage collection at the last look"
    )
    ignore: tuple[IgnoreRule, ...] = _setting(
        (), "WHOHOLDS_IGNORE", parsers.ignore_rules, "rules", "findings that are not reported"
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, below: Mapping[str, Any] | None = None) -> Limits:
        """The settings of `environ`, over the values `below`, by field, of a settings file.

        `WHOHOLDS=1` says nothing of the outputs, and leaves those of `below`. Raises `WrongSetting` for the first wrong
        variable.
        """
        by_variable = {setting.metadata["variable"]: setting for setting in fields(cls)}
        values: dict[str, Any] = dict(below or {})
        for variable, text in environ.items():
            if variable in by_variable:
                setting = by_variable[variable]
                if variable == "WHOHOLDS" and text.strip().lower() in ON and "outputs" in values:
                    continue
                if text.strip() or variable == "WHOHOLDS":
                    values[setting.name] = setting.metadata["parse"](variable, text)
            elif variable.startswith("WHOHOLDS_") and not variable.startswith(("WHOHOLDS_TEST_", "WHOHOLDS_EXAMPLE_")):
                known = sorted(by_variable)
                raise WrongSetting(variable, text, "", why=f"there is no such setting{nearest(variable, known)}")
        return cls(**values).with_journal_output()

    def with_settings(self, **settings: Unpack[Settings]) -> Limits:
        """A copy with the fields in `settings` replaced; text is parsed as in the environment.

        Raises TypeError for an unknown name and `WrongSetting` for a wrong value.
        """
        by_name = {setting.name: setting for setting in fields(self)}
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in by_name:
                raise TypeError(f"there is no setting {name!r}{nearest(name, by_name)}")
            values[name] = given(by_name[name], value, name)
        return replace(self, **values).with_journal_output()

    def fixed_by(self, running: Limits) -> Limits:
        """A copy in which the settings that take effect only at the start are those of `running`."""
        names = [setting.name for setting in fields(self) if setting.metadata["at_start"]]
        kept = {name: getattr(running, name) for name in names}
        return replace(self, **kept)

    def differing(self, other: Limits) -> list[str]:
        """The names of the settings whose values in `self` and `other` differ."""
        return [setting.name for setting in fields(self) if getattr(self, setting.name) != getattr(other, setting.name)]

    def with_journal_output(self) -> Limits:
        """A copy with `journal` among its outputs, if a path for the journal is set."""
        if not self.journal or "journal" in self.outputs:
            return self
        return replace(self, outputs=(*self.outputs, "journal"))

    def as_text(self) -> dict[str, str]:
        """The settings by their variables, as text that the environment could hold."""
        shown = {}
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, bool):
                text = str(int(value))
            elif isinstance(value, tuple):
                text = ",".join(map(str, value))
            else:
                text = f"{value:g}" if isinstance(value, float) else str(value)
            shown[setting.metadata["variable"]] = text
        return shown
