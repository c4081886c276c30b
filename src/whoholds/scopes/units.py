"""Scopes of a server's requests and jobs: handles opened in one and not given back at its end are `left-open`.

The end of a request or job must not block or collect garbage: it is only noted, and a tick soon after judges it.
"""

from __future__ import annotations

import re

from whoholds.ledger import here
from whoholds.ledger.scope import Scope, current, entered_scope
from whoholds.watching import running

_PARAMETER = re.compile(r"<(?:[^:<>]*:)?(\w+)>")  # a parameter in the routes of Flask and Django: <int:id>
_VALUE = re.compile(r"(?<=/)(?:\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{24,})(?=/|$)")


class Unit(Scope):
    """The scope of one request or job, with its owner and the scope that was entered before."""

    __slots__ = ("before", "depth", "owner")

    MAX_DEPTH = 4  # a server that never closes its responses must not build an endless chain

    def __init__(self, name: str, kind: str) -> None:
        before = entered_scope.get()
        self.depth: int = before.depth + 1 if isinstance(before, Unit) else 0
        if self.depth > self.MAX_DEPTH:
            before, self.depth = None, 0
        self.before = before
        self.owner = here.current_owner()
        super().__init__(name, kind, current(self.owner))


def begin(name: str, kind: str = "request") -> Unit:
    """A new scope, to which the handles that this thread or task opens from now on belong. Costs a microsecond."""
    unit = Unit(name, kind)
    entered_scope.set(unit)
    return unit


def end(unit: Unit, name: str = "") -> None:
    """End the scope: the handles that its owner opened in it should be closed by now.

    `name` replaces its name, for a route that is known only at the end. Called in the user's thread; never blocks.
    """
    if name:
        unit.name = name
    if entered_scope.get() is unit:
        entered_scope.set(unit.before)
    watch = running.current()
    if watch is not None and not unit.around:  # the scope of a test around it is judged by the test
        watch.ledger.scope_over(unit)


def route(text: str) -> str:
    """A framework's route such as `/users/<int:id>`, in the common form `/users/{id}`."""
    return _PARAMETER.sub(r"{\1}", text)


def folded(path: str) -> str:
    """A path without a known route, with `{}` for each part that looks like an id, so that names stay few."""
    return _VALUE.sub("{}", path)
