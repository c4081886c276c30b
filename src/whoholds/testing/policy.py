"""The demands on a test as values: which rules fail it, how much it may have open at once, and what is intended.

They are made from options, ini keys and markers; for an invalid one `WrongPolicy` names what exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from whoholds import registry
from whoholds.analysis.rules import RULES, rule_of
from whoholds.settings.matching import IgnoreRule, nearest, short
from whoholds.settings.parsers import MOST
from whoholds.watching.aside import Asides
from whoholds.watching.intended import note_failed
from whoholds.watching.running import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from whoholds.analysis.finding import Finding

    Allowed = IgnoreRule | Callable[[Finding], bool]

OFF, REPORT, ERROR = "off", "report", "error"
MODES = (OFF, REPORT, ERROR)
MARKER = ("max_open", "max_connects", "allow")  # and each rule by its name, with _ in place of -


class WrongPolicy(ValueError):  # noqa: N818 - it is what it is called
    """An invalid option, ini key or marker. The message names it, what it got and what exists."""


@dataclass(frozen=True)
class Policy:
    """The demands on one test. An empty mode demands only what the other fields say."""

    mode: str = ""
    rules: Mapping[str, str] = field(default_factory=dict)  # rule → mode, where it differs from `mode`
    max_open: int | None = None
    max_connects: int | None = None
    allow: tuple[Allowed, ...] = ()

    def of(self, rule: str) -> str:
        """The effect of a finding of `rule` on the test: `off`, `report` or `error`."""
        if self.mode == OFF:
            return OFF
        if rule in self.rules:
            return self.rules[rule]
        if not self.mode or rule_of(rule).of_the_run:
            return OFF
        return self.mode if rule_of(rule).fails_tests else REPORT

    @property
    def asks(self) -> bool:
        """Whether this policy demands anything of a test."""
        return self.mode != OFF and bool(
            self.mode or self.rules or self.max_open is not None or self.max_connects is not None
        )

    def allows(self, finding: Finding) -> bool:
        """Whether `finding` is intended."""
        return any(_matches(one, finding) for one in self.allow)

    def marked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Policy:
        """A copy with the demands of `@pytest.mark.whoholds(*args, **kwargs)`, which win. Raises `WrongPolicy`."""
        if len(args) > 1:
            raise WrongPolicy(f"the marker whoholds takes one of {_listed(MODES)} and keywords, got {args!r}")
        changed = self if not args else replace(self, mode=mode("the marker whoholds", args[0]))
        rules = dict(changed.rules)
        for name, value in kwargs.items():
            if name in ("max_open", "max_connects"):
                most = number(f"whoholds({name}=…)", value)
                changed = replace(changed, max_open=most) if name == "max_open" else replace(changed, max_connects=most)
            elif name == "allow":
                many = value if isinstance(value, list | tuple | set) else (value,)
                changed = replace(changed, allow=(*changed.allow, *(allowed("whoholds(allow=…)", one) for one in many)))
            else:
                rule = _rule(name)
                rules[rule] = mode(f"whoholds({name}=…)", value)
        return replace(changed, rules=rules)


def mode(what: str, value: object) -> str:
    """`value`, if it is one of the modes. Raises `WrongPolicy` otherwise; `what` names the option in the message."""
    if value not in MODES:
        raise WrongPolicy(f"{what} takes {_listed(MODES)}, got {short(value)!r}{nearest(value, MODES)}")
    return str(value)


def number(what: str, value: object) -> int:
    """`value` as a number of handles, 0 or more. Raises `WrongPolicy` for anything else."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            most = int(value)
        except ValueError:  # not a number, or one with more digits than Python reads
            most = -1
        if 0 <= most <= MOST:
            return most
    raise WrongPolicy(f"{what} takes a number, 0 or more, got {short(value)!r}")


def rules_from(what: str, lines: Iterable[str]) -> dict[str, str]:
    """The modes by rule from lines such as `left-open=report`. Raises `WrongPolicy` for a wrong line."""
    rules = {}
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        rule = name.replace("_", "-")
        if not equals or rule not in _rules():
            known = f"; rules: {_listed(_rules())}{nearest(rule, _rules())}" if equals else ""
            raise WrongPolicy(
                f"{what} takes rule={'|'.join(MODES)}, such as left-open=report, got {short(line)!r}{known}"
            )
        rules[rule] = mode(f"{what} {name}=", value)
    return rules


def allowed(what: str, value: object) -> Allowed:
    """`value` as a check of findings: a rule, `rule@path-glob[:function]`, or a function of a finding.

    Raises `WrongPolicy` for anything else.
    """
    if callable(value):
        return value
    if isinstance(value, str):
        name, at, pattern = value.partition("@")
        if name in ("*", *_rules()) and (pattern or not at):
            return IgnoreRule(name, pattern or "*")
    raise WrongPolicy(
        f"{what} takes a rule, rule@path-glob[:function] or a function of a finding, got {short(value)!r}; "
        f"rules: {_listed(('*', *_rules()))}{nearest(str(value).partition('@')[0], _rules())}"
    )


def _matches(one: Allowed, finding: Finding) -> bool:
    if not isinstance(one, IgnoreRule):
        try:
            return bool(one(finding))
        except Exception as error:  # noqa: BLE001 - somebody else's code: the finding is reported
            watch = current()
            note_failed(one, error, watch.asides if watch is not None else Asides(), "allow")
            return False
    if one.pattern == "*":
        return one.rule in ("*", finding.rule)
    return one.matches(finding.rule, finding.lines)


def _rule(name: str) -> str:
    rule = name.replace("_", "-")
    if rule not in _rules():
        names = (*MARKER, *(one.replace("-", "_") for one in _rules()))
        raise WrongPolicy(f"whoholds has no {name!r}{nearest(name, names)}; there are {_listed(names)}")
    return rule


def _rules() -> tuple[str, ...]:
    """The names of all rules, including those of third parties."""
    return (*RULES, *registry.names(registry.RULES))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
