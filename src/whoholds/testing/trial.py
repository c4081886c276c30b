"""One judged stretch of work in a suite of any runner. It starts a watch if none runs in the process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from whoholds import scopes, startup
from whoholds.ledger import scope as scoping
from whoholds.ledger.cpython import current_task
from whoholds.ledger.here import current_owner
from whoholds.ledger.scope import Scope
from whoholds.reporting.matters import reports
from whoholds.testing.tally import Opened, Tallies
from whoholds.testing.verdict import PATIENCE_S, busy_elsewhere, judge
from whoholds.watching.running import current

if TYPE_CHECKING:
    from whoholds.testing.policy import Policy
    from whoholds.watching.watch import Watch


def attended() -> tuple[Watch, Tallies]:
    """The watch of the process and its recorder; the watch is started without outputs if there is none.

    Raises WrongSetting if a setting of the environment is invalid.
    """
    watch = current() or startup.start(outputs=())
    for output in watch.outputs:
        if isinstance(output, Tallies):
            return watch, output
    recorder = Tallies()
    recorder.watch = watch
    watch.outputs.append(recorder)
    return watch, recorder


class Trial:
    """A running test or block: until `end`, what this thread or task opens belongs to it."""

    def __init__(self, name: str, kind: str, choices: Policy) -> None:
        self._watch, self._recorder = attended()
        self._choices = choices
        self._entered = ExitStack()
        self._ended = False
        self.scope = Scope(name, kind, scoping.current(current_owner()))
        record = self._recorder.follow(self.scope)
        self.opened = Opened(self._watch, record)
        if kind == "block":
            self._entered.enter_context(scopes.entered(self.scope))
        else:  # an event loop that the test starts may have a context that is older than the test
            scoping.begin(self.scope)
            self._entered.callback(scoping.over, self.scope)

    async def settle(self) -> None:
        """Let the tasks and threads that the block started end, if they hold handles. For asyncio only."""
        if current_task() is None:
            return
        import asyncio

        await asyncio.sleep(0)  # tasks that were only created begin to run
        pause, waited = 0.001, 0.0
        while waited < PATIENCE_S and any(busy_elsewhere(handle) for handle in self.opened.open):
            await asyncio.sleep(pause)
            waited += pause
            pause *= 2

    def end(self) -> str:
        """Judge, and return the report of all findings that fail, or "". A second call returns ""."""
        if self._ended:
            return ""
        self._ended = True
        self._entered.close()
        verdict = judge(self._watch, self._recorder, self.scope, self._choices)
        return "\n\n".join(reports(verdict.failing))
