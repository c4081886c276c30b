"""Watch: the running whole. It is given drivers and outputs, ticks, and passes on what the detectors find.

`tick` is all of its logic and needs no thread. Other people's code runs only here, in the thread that ticks.
"""

from __future__ import annotations

import _thread
import gc
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from whoholds.analysis.finding import INFO, Finding, Look
from whoholds.analysis.history import History
from whoholds.analysis.placing import see
from whoholds.analysis.rules import BITS, rule_of
from whoholds.analysis.snapshot import Ending, Snapshot
from whoholds.detectors import ALL
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.limits import Limits
from whoholds.text.streams import say
from whoholds.watching.repeats import Repeats
from whoholds.watching.stacks import stacks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType

    from whoholds.detectors import Detector
    from whoholds.ledger.handle import Handle

    Driver = Callable[[Ledger], AbstractContextManager[None]]
    Output = Callable[[Look], None]
    Predicate = Callable[[Finding], bool]

PATIENCE_S = 2.0  # for a look in another thread to end


class Watch:
    """Drivers tell its ledger; each `tick` gives the detectors a snapshot and the outputs what they find.

    `wall` gives seconds since the epoch; the ledger carries the other clock.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        ledger: Ledger | None = None,
        drivers: Iterable[Driver] = (),
        outputs: Iterable[Output] = (),
        detectors: Mapping[str, Detector] = ALL,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits()
        self.ledger = ledger or Ledger(frames=self.limits.frames, most=self.limits.max_handles)
        self.history = History(server_limits=self.ledger.server_limits)
        self.history.sites.source = self.limits.source
        self.tellings = Repeats(self.limits.repeat)
        self.outputs: list[Output] = list(outputs)
        self.predicates: list[Predicate] = []  # findings of which one says True are meant
        self.ignored = dict.fromkeys(self.limits.ignore, 0)
        self.failed: list[str] = []  # drivers and outputs that were switched off, each with its reason
        self.snapshot: Snapshot | None = None  # the last
        self._faults: dict[tuple[str, str], str] = {}  # (hook, place) of each fault of ours → what was said of it
        self._drivers = list(drivers)
        self._detectors = dict(detectors)  # rule → detector, in the order of speaking
        self._wall = wall
        self._entered: list[AbstractContextManager[None]] = []
        self.waits: list[Callable[[ModuleType], None]] = []  # drivers whose library is not imported yet
        self._renew()

    def _renew(self) -> None:
        self._lock = _thread.allocate_lock()  # held while looking: never by a hook, so nobody's call waits for it

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Watch:
        """Enter every driver; one that fails is skipped and said."""
        gc.callbacks.extend(self.ledger.collections.callbacks)
        for driver in self._drivers:
            self.enter(driver)
        return self

    def enter(self, driver: Driver, library: str = "") -> None:
        """Let one more driver watch its library until the end."""
        name = getattr(driver, "__module__", repr(driver))
        self.history.drivers[library or name] = False
        try:
            entered = driver(self.ledger)
            entered.__enter__()
            self._entered.append(entered)
            self.history.drivers[library or name] = True
        except Exception as error:  # noqa: BLE001 - a driver's fault must not become the program's
            self.fail(f"{name} is not watched: {type(error).__name__}: {error}")

    def stop(self, ending: Ending | None = None) -> list[Finding]:
        """A last look, then every name is given back and live handles go quiet. Twice is once."""
        if not self.ledger.active:
            return []
        said = self.end(ending or Ending("watch"))
        self.ledger.active = False
        while self._entered:  # not an ExitStack: one that raises would have the others undone with its exception
            try:
                self._entered.pop().__exit__(None, None, None)
            except Exception as error:  # noqa: BLE001 - a driver's fault must not become the program's
                self.fail(f"a driver did not give back every name: {type(error).__name__}: {error}")
        for callback in self.ledger.collections.callbacks:
            if callback in gc.callbacks:
                gc.callbacks.remove(callback)
        return said

    def end(self, ending: Ending) -> list[Finding]:
        """A last look of a scope, a watch or the process: settles once before it accuses."""
        said = self.tick()
        if self.limits.exit_collect and ending.kind != "scope" and self._would_accuse(ending):
            gc.collect()
            ending = replace(ending, settled=True)
            said += self.tick()
        return said + self.tick(ending)

    def _would_accuse(self, ending: Ending) -> bool:
        seen = self.snapshot
        if seen is None:
            return False
        with_ending = replace(seen, ending=ending, ended=[])
        accusers = [one for rule, one in self._detectors.items() if rule_of(rule).a_collection_may_clear_it]
        return any(finding.severity != INFO for detector in accusers for finding in detector(with_ending, self.limits))

    def in_child(self) -> None:
        """After a fork, in the child: the parent's handles and findings are the parent's."""
        self._renew()
        self.ledger.in_child()
        self.tellings.forget()
        sites = self.history.sites
        sites.start_again()
        self.history = History(sites=sites, server_limits=self.history.server_limits, drivers=self.history.drivers)

    # --- the tick -----------------------------------------------------------------------------------------------

    def tick(self, ending: Ending | None = None) -> list[Finding]:
        """Look once: what is said now, in the order of the detectors. A look inside a look finds nothing."""
        me = _thread.get_ident()
        ledger = self.ledger
        if ledger.quiet_ident == me or not self._lock.acquire(timeout=PATIENCE_S):
            return []
        ledger.quiet_ident = me
        try:
            return self._look(ending)
        finally:
            ledger.quiet_ident = 0
            self._lock.release()

    def _look(self, ending: Ending | None) -> list[Finding]:
        self._say_faults()
        taken = self.ledger.take(last=ending is not None)
        snapshot = see(taken, self.history, self._wall(), every=self.limits.every, ending=ending)
        self.snapshot = snapshot
        found = [finding for detector in self._detectors.values() for finding in detector(snapshot, self.limits)]
        found = [self._with_stacks(finding) for finding in found]
        kept = [finding for finding in found if not self._is_meant(finding)]
        for finding in found:
            bit = BITS[finding.rule]
            for handle in finding.handles:
                handle.told |= bit
        scope = ending.name if ending else ""
        if scope:
            kept = [
                replace(finding, scope=finding.scope or scope) if rule_of(finding.rule).named_by_scope else finding
                for finding in kept
            ]
        last = ending is not None and ending.kind in ("process", "watch")
        said = self.tellings.take(kept, snapshot.now, snapshot.wall, last=last)
        told, remarks = (tuple(self.tellings.told()), tuple(self._remarks())) if last else ((), ())
        self._tell(Look(tuple(said), snapshot, self.limits.source, told, remarks, tuple(kept)))
        return said

    @staticmethod
    def _with_stacks(finding: Finding) -> Finding:
        """The finding with where its holders are now, where its rule is about something that is still held."""
        if not rule_of(finding.rule).shows_holders:
            return finding
        return replace(finding, doing=tuple(stacks_of(finding.handles).items()))

    def _remarks(self) -> list[str]:
        """What the reader of the end should know of the watching itself."""
        remarks = [f"ignore rule {rule} matched nothing" for rule, count in self.ignored.items() if not count]
        remarks += self._faults.values()
        dropped = self.history.dropped + self.tellings.dropped
        if dropped:
            remarks.append(f"{dropped} events were dropped: more than WHOHOLDS_MAX_HANDLES={self.limits.max_handles}")
        for one in self.outputs:
            if lost := getattr(one, "dropped", 0):
                remarks.append(
                    f"{lost} journal lines were dropped: over twice WHOHOLDS_JOURNAL_MB={self.limits.journal_mb:g}"
                )
        for driver, count in self.ledger.unwatched.items():
            remarks.append(
                f"{count} connections of {driver} could not be watched: a factory of the program's made them"
            )
        return remarks

    def _tell(self, look: Look) -> None:
        for output in list(self.outputs):
            try:
                output(look)
            except Exception as error:  # noqa: BLE001 - somebody else's code; it is switched off and said once
                self.outputs.remove(output)
                name = getattr(output, "name", getattr(output, "__qualname__", repr(output)))
                self.fail(f"output {name} is switched off: {type(error).__name__}: {error}")

    def _say_faults(self) -> None:
        """Say each fault of ours in the program's threads once: what the program does there is not all seen."""
        for hook, error, at in faults.take():
            if (hook, at) not in self._faults:
                library = sys.modules.get(hook.partition(".")[0])
                version = getattr(library, "__version__", "")
                which = f"{hook} ({library.__name__} {version})" if library and version else hook
                said = f"a fault of whoholds in {which}: {error}, at {at}; the program's call was not touched"
                self._faults[hook, at] = said
                self.fail(said)

    def _is_meant(self, finding: Finding) -> bool:
        for rule in self.limits.ignore:
            if rule.matches(finding.rule, finding.lines):
                self.ignored[rule] += 1
                return True
        for frame in finding.lines[:1]:
            if frame is not None and says_ignore(frame.file, frame.line, finding.rule):
                return True
        return any(predicate(finding) for predicate in self.predicates)

    def fail(self, reason: str) -> None:
        """One line on stderr: what stands aside, and why. The program runs on."""
        self.failed.append(reason)
        say(f"whoholds: {reason}")

    # --- asked --------------------------------------------------------------------------------------------------

    @property
    def handles(self) -> list[Handle]:
        """What is open now, oldest first."""
        return self.ledger.peek()

    @property
    def findings(self) -> list[Finding]:
        """All findings so far, merged."""
        return self.tellings.told()

    @property
    def peak(self) -> int:
        """The most connections open at once to one database, up to the last tick."""
        return max((trend.highest.count for trend in self.history.trends.values()), default=0)

    def __enter__(self) -> Watch:  # noqa: PYI034 - nobody derives from it, and Self is of 3.11
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def says_ignore(file: str, line: int, rule: str) -> bool:
    """Whether the line carries `# whoholds: ignore[rule]`, or `ignore` alone for every rule."""
    import linecache

    _, marker, rest = linecache.getline(file, line).partition("# whoholds: ignore")
    if not marker:
        return False
    if not rest.startswith("["):
        return True
    return rule in [name.strip() for name in rest[1:].partition("]")[0].split(",")]
