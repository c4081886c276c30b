"""Watch: the running whole. It is given drivers and outputs, ticks, and passes on what the detectors find.

`tick` is all of its logic and needs no thread. Other people's code runs only here, in the thread that ticks.
"""

from __future__ import annotations

import _thread
import gc
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from whoholds.analysis import rules
from whoholds.analysis.finding import INFO, Finding, Look
from whoholds.analysis.history import History
from whoholds.analysis.placing import snapshot_of
from whoholds.analysis.rules import BITS, rule_of
from whoholds.analysis.snapshot import Ending, Snapshot
from whoholds.detectors import ALL
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.limits import Limits
from whoholds.plugins import name_of
from whoholds.watching.aside import Asides, failure, place_of
from whoholds.watching.intended import Intended
from whoholds.watching.repeats import Repeats
from whoholds.watching.stacks import stacks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType

    from whoholds.ledger.handle import Handle
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner
    from whoholds.plugins import Detector, Driver, Output, OwnRule, Predicate

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
        self.repeats = Repeats(self.limits.repeat)
        self.outputs: list[Output] = list(outputs)
        self.fallback: Callable[[], Output] | None = None  # makes the output for where no other reports any more
        self.asides = Asides()
        self.intended = Intended(self.limits.ignore, self.asides)
        self.snapshot: Snapshot | None = None  # the last
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
        """Let outputs listen, then enter every driver; what fails is skipped and said."""
        for output in list(self.outputs):
            begin = getattr(output, "begin", None)
            if begin is not None:
                self._guarded(output, begin, self.ledger)
        gc.callbacks.extend(self.ledger.ends.callbacks)
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
            self.stand_aside("driver-failed", f"{name} is not watched: {failure(error)}")

    def add_rule(self, own: OwnRule) -> None:
        """Look for a third party's rule, too. ValueError where a rule of that name is there already."""
        rules.register(own.row)
        self._detectors.setdefault(own.row.name, own.detector)

    def stop(self, ending: Ending | None = None) -> list[Finding]:
        """A last look, then every name is given back and live handles go quiet. Twice is once."""
        if not self.ledger.active:
            return []
        try:
            return self.end(ending or Ending("watch"))
        finally:
            self._undo()

    def _undo(self) -> None:
        self.ledger.active = False
        while self._entered:  # not an ExitStack: one that raises would have the others undone with its exception
            try:
                self._entered.pop().__exit__(None, None, None)
            except Exception as error:  # noqa: BLE001 - a driver's fault must not become the program's
                self.stand_aside("driver-not-undone", f"a driver did not give back every name: {failure(error)}")
        for callback in self.ledger.ends.callbacks:
            if callback in gc.callbacks:
                gc.callbacks.remove(callback)

    def end(self, ending: Ending) -> list[Finding]:
        """A last look of a scope, a watch or the process: settles once before it accuses. It never raises."""
        try:
            return self._end(ending)
        except Exception as error:  # noqa: BLE001 - our fault must not become the program's
            self._look_failed(error)
            return self.tick(ending)

    def _end(self, ending: Ending) -> list[Finding]:
        if ending.kind == "process":
            self.history.standing.end(self.ledger.clock())
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
        accusers = [rule for rule in self._detectors if rule_of(rule).a_collection_may_clear_it]
        return any(finding.severity != INFO for rule in accusers for finding in self._found(rule, with_ending))

    def use(self, limits: Limits) -> None:
        """Apply other settings from now on, all but those that only a start can change: what differs there is said."""
        applied = limits.fixed_by(self.limits)
        for name in limits.differing(applied):
            now, wanted = getattr(self.limits, name), getattr(limits, name)
            self.stand_aside("setting-not-applied", f"{name}={wanted!r} is not applied: the watch runs with {now!r}")
        self.limits = applied
        self.repeats.repeat = applied.repeat
        self.history.sites.source = applied.source
        self.ledger.frames = applied.frames
        self.intended.use(applied.ignore)

    def in_child(self) -> None:
        """After a fork, in the child: the parent's handles and findings are the parent's."""
        self._renew()
        self.ledger.in_child()
        self.repeats.forget()
        sites = self.history.sites
        sites.start_again()
        self.history = History(sites=sites, server_limits=self.history.server_limits, drivers=self.history.drivers)

    # --- the tick -----------------------------------------------------------------------------------------------

    def tick(self, ending: Ending | None = None) -> list[Finding]:
        """Look once: what is said now, in the order of the detectors. A look inside a look finds nothing.

        It never raises: a look that fails is said once, and the next one looks again.
        """
        me = _thread.get_ident()
        ledger = self.ledger
        if ledger.quiet_ident == me or not self._lock.acquire(timeout=PATIENCE_S):
            return []
        ledger.quiet_ident = me
        try:
            return self._look(ending)
        except Exception as error:  # noqa: BLE001 - our fault must not become the program's, nor end the looking
            self._look_failed(error)
            return []
        finally:
            ledger.quiet_ident = 0
            self._lock.release()

    def _look_failed(self, error: Exception) -> None:
        at = place_of(error)
        self.stand_aside("look-failed", f"a look failed at {at}: {failure(error)}; the next one tries again", at)

    def _look(self, ending: Ending | None) -> list[Finding]:
        self._say_faults()
        taken = self.ledger.take(last=ending is not None)
        snapshot = snapshot_of(taken, self.history, self._wall(), every=self.limits.every, ending=ending)
        self.snapshot = snapshot
        stacks: dict[Owner, Origin] = {}  # each owner's is read once a look
        found = [finding for rule in self._detectors for finding in self._found(rule, snapshot)]
        found = [self._with_stacks(finding, stacks) for finding in found]
        kept = [finding for finding in found if not self.intended.covers(finding)]
        for finding in found:
            bit = BITS.get(finding.rule, 0)
            for handle in finding.handles:
                handle.told |= bit
        scope = ending.name if ending else ""
        if scope:
            kept = [
                replace(finding, scope=finding.scope or scope) if rule_of(finding.rule).named_by_scope else finding
                for finding in kept
            ]
        last = ending is not None and ending.kind in ("process", "watch")
        said = self.repeats.due(kept, snapshot.now, snapshot.wall, last=last)
        self._say_faults()
        told, remarks = (tuple(self.repeats.findings()), tuple(self._remarks())) if last else ((), ())
        self._tell(
            Look(tuple(said), snapshot, self.limits.source, told, remarks, tuple(kept), asides=self.asides.take())
        )
        self._say_faults()  # those of the outputs
        return said

    def _found(self, rule: str, snapshot: Snapshot) -> list[Finding]:
        """What the detector of `rule` finds; one that raises gives what it found before, and is said once."""
        found: list[Finding] = []
        try:
            for finding in self._detectors[rule](snapshot, self.limits):
                found.append(finding)  # noqa: PERF402 - what was found before it raised counts
        except Exception as error:  # noqa: BLE001 - it must not take the other detectors' findings with it
            at = place_of(error)
            reason = f"detector {rule} is skipped for a look: {failure(error)}, at {at}"
            self.stand_aside("detector-failed", reason, (rule, at))
        return found

    @staticmethod
    def _with_stacks(finding: Finding, stacks: dict[Owner, Origin]) -> Finding:
        """The finding with where its holders are now, where its rule is about something that is still held."""
        if not rule_of(finding.rule).shows_holders:
            return finding
        return replace(finding, doing=tuple(stacks_of(finding.handles, stacks).items()))

    def _remarks(self) -> list[str]:
        """What the reader of the end should know of the watching itself."""
        remarks = [*self.intended.remarks(), *self.asides.remarks()]
        dropped = self.history.dropped + self.repeats.dropped
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
        reported = True
        for output in list(self.outputs):
            reported &= self._guarded(output, output, look)
        if not reported and self.fallback is not None and all(map(_is_silent, self.outputs)):
            output = self.fallback()
            self.outputs.append(output)
            self._guarded(output, output, look)

    def _guarded(self, output: Output, call: Callable[[Any], object], given: Any) -> bool:
        """Call an output; one that raises is switched off, and that is said. Whether it did what it should."""
        try:
            call(given)
        except Exception as error:  # noqa: BLE001 - somebody else's code: it must not keep the others from reporting
            self.outputs.remove(output)
            self.stand_aside("output-failed", f"output {name_of(output)} is switched off: {failure(error)}")
            return False
        return True

    def _say_faults(self) -> None:
        """Say each fault of ours in the program's threads once: what the program does there is not all seen."""
        for hook, error, at in faults.take():
            library = sys.modules.get(hook.partition(".")[0])
            version = getattr(library, "__version__", "")
            which = f"{hook} ({library.__name__} {version})" if library and version else hook
            reason = f"a fault of whoholds in {which}: {error}, at {at}; the program's call was not touched"
            self.stand_aside("hook-failed", reason, (hook, at))

    def stand_aside(self, slug: str, reason: str, key: object = None) -> None:
        """Say on stderr what stands aside and why, with a `key` once for that key. The program runs on."""
        self.asides.note(slug, reason, key=key)

    # --- asked --------------------------------------------------------------------------------------------------

    @property
    def handles(self) -> list[Handle]:
        """What is open now, oldest first."""
        return self.ledger.peek()

    @property
    def findings(self) -> list[Finding]:
        """All findings so far, merged."""
        return self.repeats.findings()

    @property
    def predicates(self) -> list[Predicate]:
        """The predicates of `whoholds.ignore` that this watch asks."""
        return self.intended.predicates

    @predicates.setter
    def predicates(self, predicates: list[Predicate]) -> None:
        self.intended.predicates = predicates

    @property
    def failed(self) -> list[str]:
        """What stood aside so far, and why, in the order in which it was said."""
        return [aside.reason for aside in self.asides.all]

    @property
    def peak(self) -> int:
        """The most connections open at once to one database, up to the last tick."""
        return max((trend.highest.count for trend in self.history.trends.values()), default=0)

    def __enter__(self) -> Watch:  # noqa: PYI034 - nobody derives from it, and Self is of 3.11
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_silent(output: Output) -> bool:
    """Whether what it is given reaches nobody: OpenTelemetry's, in a program that has configured none."""
    return bool(getattr(output, "silent", False))
