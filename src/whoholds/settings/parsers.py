"""Parsers of settings: each takes the name of a setting and its text, and returns its value.

Each raises `WrongSetting`, which says what the setting takes. They must read no environment, and change nothing.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from whoholds.analysis.rules import RULES
from whoholds.settings.matching import IgnoreRule, Threshold, WrongSetting, nearest
from whoholds.switch import OFF, ON

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1_000_000_000  # largest number that a setting takes; in seconds 31 years, longer than any system call can wait


def unchanged(name: str, text: str) -> str:
    """The text itself, such as a path."""
    del name
    return text


def learn(name: str, text: str) -> str:
    """The path of what was learned; "1" for none, and "" to learn nothing."""
    del name
    low = text.strip().lower()
    return "" if low in OFF else "1" if low in ON else text


def number(least: float, kind: type = float) -> Callable[[str, str], Any]:
    """A parser of numbers of this `kind`, `least` at least and `MOST` at most."""

    def parse(name: str, text: str) -> Any:
        try:
            value = kind(text)
        except (ValueError, OverflowError):
            raise WrongSetting(name, text, _NUMBERS[kind, least]) from None
        if value < least:
            raise WrongSetting(name, text, _NUMBERS[kind, least] + (f"; the least is {least}" if 0 < least < 1 else ""))
        if not value <= MOST:  # also no number, `nan`
            raise WrongSetting(name, text, f"{_NUMBERS[kind, least]}, {MOST} at most")
        return value

    return parse


_NUMBERS = {
    (float, 0): "seconds, 0 or more, such as 30 or 0.5",
    (float, 0.001): "a number greater than 0, such as 1 or 0.5",
    (int, 0): "a whole number, 0 or more",
    (int, 1): "a whole number, 1 or more",
}


def threshold(name: str, text: str) -> Threshold:
    """A number with exceptions for some opening lines."""
    takes = "a number and, if wanted, others for some files: 60 or 60,600@jobs/*.py"
    default: float | None = None
    exceptions: list[tuple[float, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, at, pattern = part.partition("@")
        try:
            value = float(first)
        except ValueError:
            raise WrongSetting(name, text, takes) from None
        if not 0 <= value <= MOST:
            raise WrongSetting(name, text, f"{takes}; from 0 to {MOST}")
        if (at and not pattern) or (not at and default is not None):
            raise WrongSetting(name, text, takes)
        if at:
            exceptions.append((value, pattern))
        else:
            default = value
    if default is None:
        raise WrongSetting(name, text, takes)
    return Threshold(default, tuple(exceptions))


def flag(name: str, text: str) -> bool:
    """1 or 0, in any of the words for them."""
    low = text.strip().lower()
    if low in ON:
        return True
    if low in OFF:
        return False
    raise WrongSetting(name, text, "1 or 0")


def choice(*choices: str) -> Callable[[str, str], str]:
    """A parser of one of these words."""

    def parse(name: str, text: str) -> str:
        low = text.strip().lower()
        if low not in choices:
            raise WrongSetting(name, text, f"one of {', '.join(choices)}{nearest(low, choices)}")
        return low

    return parse


_UNCATCHABLE = ("SIGKILL", "SIGSTOP")


def signal_name(name: str, text: str) -> str:
    """The name of a signal, with or without its SIG, as SIGUSR1; "" for none."""
    wanted = text.strip().upper()
    wanted = wanted if wanted.startswith("SIG") or not wanted else f"SIG{wanted}"
    known = [number.name for number in signal.Signals if number.name not in _UNCATCHABLE]
    if wanted and wanted not in known:
        example = "SIGUSR1" if "SIGUSR1" in known else "SIGBREAK"  # on Windows, Ctrl-Break
        why = "; no program can catch that one" if wanted in _UNCATCHABLE else nearest(wanted, known)
        raise WrongSetting(name, text, f"the name of a signal, such as {example}{why}")
    return wanted


def _lines_of(name: str, part: str) -> list[str]:
    """The lines of the file of ignore rules that `@path` names. Raises `WrongSetting`; never blocks, even on a FIFO."""
    from whoholds.text.regular import regular_text  # pytest imports this module in every run

    try:
        return regular_text(part[1:]).splitlines()
    except OSError as error:
        raise WrongSetting(name, part, f"a file that can be read after @ ({error.strerror})") from None
    except ValueError as error:  # also a NUL in the path
        raise WrongSetting(name, part, f"a text file of rules after @, {error}") from None


def modules(name: str, text: str) -> tuple[str, ...]:
    """The names of modules, each once."""
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not all(part.isidentifier() for module in wanted for part in module.split(".")):
        raise WrongSetting(name, text, "a comma list of modules, such as duckdb,snowflake.connector")
    return wanted


def ignore_rules(name: str, text: str) -> tuple[IgnoreRule, ...]:
    """The rules of a comma list, and of the files in it."""
    rules: list[IgnoreRule] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        lines = _lines_of(name, part) if part.startswith("@") else [part]
        for line in lines:
            rule, _, reason = line.partition("#")
            if rule.strip():
                rules.append(_ignore_rule(name, rule.strip(), reason.strip()))
    return tuple(rules)


def _ignore_rule(name: str, text: str, reason: str) -> IgnoreRule:
    rule, at, pattern = text.partition("@")
    from whoholds import registry

    known = ("*", *RULES, *registry.names(registry.RULES))
    if not at or not pattern or rule not in known:
        hint = nearest(rule, known) if rule not in known else ""
        raise WrongSetting(name, text, f"rule@path-glob[:function], such as left-open@jobs/*.py:load{hint}")
    return IgnoreRule(rule, pattern, reason)
