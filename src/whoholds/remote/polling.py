"""Asks all watched processes of this machine again and again, each as soon as it has answered and a second has passed.

One thread does all of it: it puts the questions, and collects the answers as they come.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.remote.asking import OTHER_FORM, checked, exchange_with, known
from whoholds.remote.exchange import NoAnswer, tidy_at_signals
from whoholds.remote.overview import Overview, overview, stacks_text, text
from whoholds.remote.processes import user_of, watched_processes
from whoholds.reporting.held import cost_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.remote.exchange import Asked

EVERY_S = 1.0  # between two looks for processes, and between two questions to one process
PATIENCE_S = 5.0  # until a process is said not to answer
MOMENT_S = 0.02
INFINITE = float("inf")


class Poller:
    """The last answers of all watched processes. Close it at the end, so that no question stays.

    With `once`, each process is asked once.
    """

    def __init__(
        self,
        processes: Callable[[], list[int]] = watched_processes,
        *,
        patience_s: float = PATIENCE_S,
        once: bool = False,
    ) -> None:
        self._processes = processes
        self._patience_s = patience_s
        self._rest_s = INFINITE if once else EVERY_S  # between two questions to one process
        self._asked: dict[int, tuple[float, Asked]] = {}  # by process: when, and the question that lies there
        self._again: dict[int, float] = {}  # by process: when to ask again
        self._looked = 0.0
        self._now: dict[int, dict[str, Any]] = {}
        self._before: dict[int, dict[str, Any]] = {}
        self._silent: dict[int, str] = {}
        self._others = 0

    @property
    def settled(self) -> bool:
        """True if every process has answered, or was found not to."""
        waits = (pid for pid in self._again if pid not in self._now and pid not in self._silent)
        return self._looked > 0 and not any(user_of(pid) >= 0 for pid in waits)

    def step(self) -> None:
        """Look for processes, put the questions that are due, and take the answers that are there. Does not wait."""
        now = time.monotonic()
        if now - self._looked >= EVERY_S:
            self._looked = now
            self._find()
        for pid, due in self._again.items():
            if pid not in self._asked and due <= now:
                self._ask(pid, now)
        for pid, (since, asked) in list(self._asked.items()):
            self._collect(pid, asked, waited=now - since)

    def _find(self) -> None:
        me, watched = os.geteuid(), self._processes()
        mine = [pid for pid in watched if me in (0, user_of(pid))]
        self._others = len(watched) - len(mine)
        for pid in set(self._again) - set(mine):
            if pid in self._asked:
                self._asked.pop(pid)[1].close()
            for table in (self._again, self._now, self._before, self._silent):
                table.pop(pid, None)
        for pid in mine:
            self._again.setdefault(pid, 0.0)

    def _ask(self, pid: int, now: float) -> None:
        self._again[pid] = now + self._rest_s
        try:
            self._asked[pid] = (now, exchange_with(known(pid), self._patience_s))
        except NoAnswer as error:
            if user_of(pid) >= 0:  # else it has ended, and the next look for processes does not find it
                self._silent[pid] = str(error)

    def _collect(self, pid: int, asked: Asked, *, waited: float) -> None:
        try:
            answer = asked.poll()
            if answer is not None:
                said = checked(answer, pid)
                before = self._now.get(pid, said)
                _check(pid, said, before)
                self._before[pid], self._now[pid] = before, said
                self._silent.pop(pid, None)
            elif waited < self._patience_s and not asked.over:
                return
            else:
                self._silent[pid] = f"has not answered for {waited:.0f} s"
        except NoAnswer as error:
            self._silent[pid] = str(error)
        self._asked.pop(pid)[1].close()

    @property
    def descriptions(self) -> dict[int, dict[str, Any]]:
        """What the processes said last, by their numbers."""
        return dict(sorted(self._now.items()))

    @property
    def silent(self) -> dict[int, str]:
        """Why processes did not answer, by their numbers."""
        return dict(self._silent)

    def overview(self) -> Overview:
        """What the processes said last."""
        return overview(self._now, self._before, self._silent, self._others)

    def close(self) -> None:
        """Take every question away."""
        while self._asked:
            self._asked.popitem()[1][1].close()


def _check(pid: int, said: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise `NoAnswer` if the description `said`, or what has changed since `before`, cannot be shown."""
    try:
        seen = overview({pid: said}, {pid: before}, {})
        text(seen)
        cost_text(said["cost"])
        for row in seen.lines:
            stacks_text(row)
    except OTHER_FORM as error:
        raise NoAnswer(f"answers in another form ({type(error).__name__}): it runs with another whoholds") from None


@contextmanager
def polling(
    processes: Callable[[], list[int]] = watched_processes, *, patience_s: float = PATIENCE_S, once: bool = False
) -> Iterator[Poller]:
    """A poller that is closed at the end, also where a signal ends the command."""
    with tidy_at_signals():
        poller = Poller(processes, patience_s=patience_s, once=once)
        try:
            yield poller
        finally:
            poller.close()


def settle(poller: Poller) -> Poller:
    """The poller, once each process has answered or has had its time."""
    while not poller.settled:
        poller.step()
        time.sleep(MOMENT_S)
    return poller
