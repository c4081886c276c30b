"""Units of a server's work, requests and jobs: what was opened in one and is out at its end is `left-open`.

The end of one blocks nothing and collects nothing: it is noted, and judged at a tick soon after.
"""

from __future__ import annotations

import re

from whoholds.ledger import here
from whoholds.ledger.scope import Scope, current, entered_scope
from whoholds.watching import running

_PARAMETER = re.compile(r"<(?:[^:<>]*:)?(\w+)>")  # of Flask's and Django's routes: <int:id>
_VALUE = re.compile(r"(?<=/)(?:\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{24,})(?=/|$)")


class Unit(Scope):
    """A Scope that knows who works on it, and what was entered before."""

    __slots__ = ("before", "depth", "owner")

    MAX_DEPTH = 4  # a server that never closes its answers must not make an endless chain

    def __init__(self, name: str, kind: str) -> None:
        before = entered_scope.get()
        self.depth: int = before.depth + 1 if isinstance(before, Unit) else 0
        if self.depth > self.MAX_DEPTH:
            before, self.depth = None, 0
        self.before = before
        self.owner = here.current_owner()
        super().__init__(name, kind, current(self.owner))


def begin(name: str, kind: str = "request") -> Unit:
    """From now on what this thread or task opens belongs to a new unit. A microsecond."""
    unit = Unit(name, kind)
    entered_scope.set(unit)
    return unit


def end(unit: Unit, name: str = "") -> None:
    """The unit is over, its `name` may be known better by now; what its owner opened should be closed."""
    if name:
        unit.name = name
    if entered_scope.get() is unit:
        entered_scope.set(unit.before)
    watch = running.current()
    if watch is not None and not unit.around:  # a test around it judges by itself
        watch.ledger.scope_over(unit)


def route(text: str) -> str:
    """A framework's route, `/users/<int:id>`, in the one form `/users/{id}`."""
    return _PARAMETER.sub(r"{\1}", text)


def folded(path: str) -> str:
    """A path of which no route is known, with what looks like an id as `{}`: not a name for each."""
    return _VALUE.sub("{}", path)
