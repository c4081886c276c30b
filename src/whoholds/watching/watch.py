"""Watch: the running whole. It enters the drivers, ticks, and passes the findings of the detectors to the outputs.

`tick` is all of its logic and needs no thread of its own. Other people's outputs, detectors and predicates are called
only from here, in the thread that ticks. The file is long because each of these calls has its guard beside it.
"""

from __future__ import annotations

import _thread
import gc
import sys
import time
from collections import Counter
from dataclasses import replace
from time import thread_time
from typing import TYPE_CHECKING, Any

from whoholds.analysis import rules
from whoholds.analysis.cost import Cost
from whoholds.analysis.finding import INFO, Finding, Look
from whoholds.analysis.habits import Habits
from whoholds.analysis.history import History
from whoholds.analysis.pauses import NONE as NO_PAUSES
from whoholds.analysis.pauses import Pauses
from whoholds.analysis.placing import snapshot_of
from whoholds.analysis.rules import BITS, rule_of
from whoholds.analysis.snapshot import Ending, Snapshot
from whoholds.detectors import ALL
from whoholds.hooks.threads import real_ident
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.plugins import name_of
from whoholds.reporting.words import number_of
from whoholds.settings.limits import Limits
from whoholds.watching.aside import Asides, failure, place_of
from whoholds.watching.intended import Intended
from whoholds.watching.pace import JUDGED, rest_after
from whoholds.watching.repeats import Repeats
from whoholds.watching.stacks import Stacks, with_stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType

    from whoholds.ledger.handle import Handle
    from whoholds.plugins import Detector, Driver, Output, OwnRule, Predicate
    from whoholds.watching.others import Others

PATIENCE_S = 2.0  # how long a tick waits at most for a look in another thread to end


class Watch:
    """Drivers write to its ledger; each `tick` hands a snapshot to the detectors, and their findings to the outputs.

    `wall` returns seconds since the epoch; the ledger has the monotonic clock.
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
        self.history.habits = Habits() if self.limits.learn else None
        self.repeats = Repeats(self.limits.repeat)
        self.outputs: list[Output] = list(outputs)
        self.quiet: list[Output] = []  # outputs that a block does without, for whoever uses its watch and is no block
        self.fallback: Callable[[], Output] | None = None  # makes the output to use when no other reports any more
        self.asides = Asides()
        self.intended = Intended(self.limits.ignore, self.asides)
        self.snapshot: Snapshot | None = None  # of the last look
        self.others: Others | None = None  # set only by WHOHOLDS_ASK_SERVER
        self._ends = False  # whether the process ends
        self.ticker_ident = 0  # the thread that ticks this watch and nothing else
        self._drivers = list(drivers)
        self._detectors = dict(detectors)  # rule → detector, in the order of reporting
        self._wall = wall
        self.began = wall()  # seconds since the epoch
        self._entered: list[AbstractContextManager[None]] = []
        self.waits: list[Callable[[ModuleType], None]] = []  # drivers whose library is not imported yet
        self._renew()

    def _renew(self) -> None:
        self._lock = _thread.allocate_lock()  # held during a look, never by a hook: no call of the user waits for it
        self._looks = 0
        self._cpu_s = 0.0  # in looks
        self._latest_s = (0.0,) * JUDGED  # in the last looks
        self._pauses = NO_PAUSES
        self._stamps = self.ledger.stamps  # before this process recorded anything

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Watch:
        """Call `begin` of the outputs, then enter every driver. What fails is skipped and reported; never raises."""
        for output in list(self.outputs):
            begin = getattr(output, "begin", None)
            if begin is not None:
                self._guarded(output, begin, self.ledger)
        self.ledger.begin()
        gc.callbacks.extend(self.ledger.ends.callbacks)
        for driver in self._drivers:
            self.enter(driver)
        return self

    def enter(self, driver: Driver, library: str = "") -> None:
        """Enter one more driver, which watches its library until `stop`. A failure is reported; never raises.

        `library` is the name under which the driver is listed; the default is the driver's module.
        """
        name = getattr(driver, "__module__", repr(driver))
        self.history.drivers[library or name] = False
        try:
            entered = driver(self.ledger)
            entered.__enter__()
            self._entered.append(entered)
            self.history.drivers[library or name] = True
            if not self.ledger.active:  # stopped meanwhile, by a signal's handler or while a library was imported
                self._undo()
        except Exception as error:
            if faults.is_the_programs(error):
                raise
            self.stand_aside("driver-failed", f"{name} is not watched: {failure(error)}")

    def add_rule(self, own: OwnRule) -> None:
        """Add a third party's rule and its detector. Raises ValueError if there is another rule of that name."""
        rules.register(own.row)
        self._detectors.setdefault(own.row.name, own.detector)

    def stop(self, ending: Ending | None = None) -> list[Finding]:
        """Take a last look, then undo every driver's changes, so that nothing is recorded any more.

        Returns the findings to report. A second call does nothing and returns an empty list.
        """
        if not self.ledger.active:
            return []
        try:
            return self.end(ending or Ending("watch"))
        finally:
            self._undo()

    def _undo(self) -> None:
        self.ledger.active = False
        while self._entered:  # not an ExitStack, which passes one driver's exception to the exits of the others
            try:
                self._entered.pop().__exit__(None, None, None)
            except Exception as error:  # noqa: BLE001 - a driver's fault must not become the program's
                self.stand_aside("driver-not-undone", f"a driver did not give back every name: {failure(error)}")
        for callback in self.ledger.ends.callbacks:
            if callback in gc.callbacks:
                gc.callbacks.remove(callback)

    def end(self, ending: Ending) -> list[Finding]:
        """Take a last look at the end of a scope, of a watch or of the process. Returns its findings; never raises.

        If that look would report leaks, garbage is collected first, but not at the end of a scope or without
        `limits.exit_collect`.
        """
        try:
            return self._end(ending)
        except Exception as error:
            if faults.is_the_programs(error):
                raise
            self._look_failed(error)
            return self.tick(ending)

    def _end(self, ending: Ending) -> list[Finding]:
        if ending.kind == "process":
            self._ends = True
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
        """Apply other settings from now on.

        Settings that only a start can change stay as they are; each one that differs is reported on stderr.
        """
        applied = limits.fixed_by(self.limits)
        for name in limits.differing(applied):
            now, wanted = getattr(self.limits, name), getattr(limits, name)
            self.stand_aside("setting-not-applied", f"{name}={wanted!r} is not applied: the watch runs with {now!r}")
        self.limits = applied
        self.repeats.repeat = applied.repeat
        self.history.sites.source = applied.source
        self.ledger.keep_frames(applied.frames)
        self.intended.use(applied.ignore)

    def in_child(self) -> None:
        """Forget the handles and findings of the parent. The forked child calls this in the thread that forked."""
        self._renew()
        self.began = self._wall()
        self.ledger.in_child()
        self.repeats.forget()
        sites = self.history.sites
        sites.start_again()
        habits = Habits(self.history.habits.known) if self.history.habits is not None else None
        self.history = History(
            sites=sites, server_limits=self.history.server_limits, drivers=self.history.drivers, habits=habits
        )

    # --- the tick -----------------------------------------------------------------------------------------------

    def tick(self, ending: Ending | None = None, *, pause: Callable[[], object] | None = None) -> list[Finding]:
        """Take one look. Returns the findings to report now, in the order of the detectors.

        `pause` lets other threads run for a moment; it is called now and then in a look that takes longer.

        A tick within a look of the same thread returns an empty list; so does a tick that waited `PATIENCE_S` for a
        look in another thread. Never raises: a failed look is reported once, and the next tick looks again.
        """
        me = _thread.get_ident()
        ledger = self.ledger
        if ledger.quiet_ident == me or not self._lock.acquire(timeout=PATIENCE_S):
            return []
        ledger.quiet_ident = me
        before = thread_time()
        self._looks += 1
        try:
            self._pauses = Pauses(pause)
            return self._look(ending)
        except Exception as error:
            if faults.is_the_programs(error):
                raise
            self._look_failed(error)
            return []
        finally:
            cpu_s = thread_time() - before
            self._cpu_s += cpu_s
            self._latest_s = (*self._latest_s[1:], cpu_s)
            self._pauses = NO_PAUSES
            ledger.quiet_ident = 0
            self._lock.release()

    def _look_failed(self, error: Exception) -> None:
        at = place_of(error)
        self.stand_aside("look-failed", f"a look failed at {at}: {failure(error)}; the next one tries again", at)

    def _look(self, ending: Ending | None) -> list[Finding]:
        self._say_faults()
        every, pauses = self.rest_s, self._pauses
        taken = self.ledger.take(last=ending is not None, between=pauses.between)
        snapshot = snapshot_of(taken, self.history, self._wall(), every=every, ending=ending, pauses=pauses)
        stacks = Stacks()
        self.snapshot = snapshot = with_stacks(snapshot, self.limits.waiting.least, stacks)
        if self.others is not None and snapshot.refusals:  # only a look that keeps nobody waiting waits for the answer
            self.others.ask(snapshot, self.limits, wait=self._ends or real_ident() == self.ticker_ident)
        found = [finding for rule in self._detectors for finding in self._found(rule, snapshot)]
        found = [self._with_stacks(finding, stacks) for finding in found]
        kept = [finding for finding in found if not self.intended.covers(finding)]
        for finding in found:
            self._pauses()
            bit = BITS.get(finding.rule, 0)
            for handle in finding.handles:
                handle.told |= bit
        scope = ending.name if ending else ""
        if scope:
            kept = [
                finding.changed(scope=finding.scope or scope) if rule_of(finding.rule).named_by_scope else finding
                for finding in kept
            ]
        last = ending is not None and ending.kind in ("process", "watch")
        said = self.repeats.due(kept, snapshot.now, snapshot.wall, last=last)
        self._say_faults()
        told, remarks = (tuple(self.repeats.findings()), tuple(self._remarks())) if last else ((), ())
        self._tell(
            Look(
                tuple(said),
                snapshot,
                self.limits.source,
                told,
                remarks,
                tuple(kept),
                asides=self.asides.take(),
                left_out=self.repeats.left_out if last else Counter(),
                cost=self.cost,
            )
        )
        self._say_faults()  # faults that the outputs noted
        return said

    def _found(self, rule: str, snapshot: Snapshot) -> list[Finding]:
        """The findings of the detector of `rule`. If it raises, those it had found before; that is reported once."""
        found: list[Finding] = []
        self._pauses()
        try:
            for finding in self._detectors[rule](snapshot, self.limits):
                found.append(finding)  # what was found before it raised counts
                self._pauses()
        except Exception as error:
            if faults.is_the_programs(error):
                raise
            at = place_of(error)
            reason = f"detector {rule} is skipped for a look: {failure(error)}, at {at}"
            self.stand_aside("detector-failed", reason, (rule, at))
        return found

    def _with_stacks(self, finding: Finding, stacks: Stacks) -> Finding:
        """The finding with the live stacks of its holders, if its rule shows them; else the finding unchanged."""
        self._pauses()
        if not rule_of(finding.rule).shows_holders or finding.states:
            return finding
        return finding.changed(doing=stacks.of(finding.handles))

    def _remarks(self) -> list[str]:
        """Sentences for the end of the process on the watch itself, such as what it dropped or could not watch."""
        remarks = [*self.intended.remarks(), *self.asides.remarks()]
        if dropped := self.history.dropped:
            remarks.append(f"{dropped} events were dropped: more than WHOHOLDS_MAX_HANDLES={self.limits.max_handles}")
        for output in self.outputs:
            if lost := getattr(output, "dropped", 0):
                remarks.append(  # noqa: PERF401 - clearer as a loop
                    f"{lost} journal lines were dropped: over twice WHOHOLDS_JOURNAL_MB={self.limits.journal_mb:g}"
                )
        for (driver, failed), count in self.ledger.unwatched.items():
            which = f"{number_of(count, 'connection')} of {driver}"
            them, were = ("it", "it was") if count == 1 else ("them", "they were")
            why = f"whoholds failed where {were} opened" if failed else f"a factory of the program's made {them}"
            remarks.append(f"{which} could not be watched: {why}")
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
        """Call an output. If it raises, it is switched off, and that is reported. True if it did not raise.

        A log handler of the program's may call `sys.exit`, which would end the thread that looks, and nothing else.
        """
        try:
            call(given)
        except (Exception, SystemExit) as error:
            if faults.is_the_programs(error):
                raise
            self.outputs.remove(output)
            self.stand_aside("output-failed", f"output {name_of(output)} is switched off: {failure(error)}")
            return False
        return True

    def _say_faults(self) -> None:
        """Report, once each, the faults of whoholds that its hooks noted in the program's threads.

        After such a fault, not everything that the program does there is recorded.
        """
        for hook, error, at in faults.take():
            library = sys.modules.get(hook.partition(".")[0])
            version = getattr(library, "__version__", "")
            which = f"{hook} ({library.__name__} {version})" if library and version else hook
            reason = f"a fault of whoholds in {which}: {error}, at {at}; the program's call was not touched"
            self.stand_aside("hook-failed", reason, (hook, at))

    def stand_aside(self, slug: str, reason: str, key: object = None) -> None:
        """Say on stderr what stands aside and why; with a `key`, only the first time for that key."""
        self.asides.note(slug, reason, key=key)

    # --- state --------------------------------------------------------------------------------------------------

    @property
    def rest_s(self) -> float:
        """Seconds from the last look to the next, unless the next is ordered earlier."""
        return rest_after(self.limits.every, *self._latest_s)

    @property
    def handles(self) -> list[Handle]:
        """The handles that are open now, oldest first."""
        return self.ledger.peek()

    @property
    def findings(self) -> list[Finding]:
        """All findings so far, merged."""
        return self.repeats.findings()

    @property
    def cost(self) -> Cost:
        """What this watch has cost the process up to now; the CPU time of a look is added at its end."""
        events = self.ledger.stamps - self._stamps - self._looks  # each look takes a stamp, too
        return Cost(self._looks, self._cpu_s, max(events, 0), self.history.dropped)

    @property
    def predicates(self) -> list[Predicate]:
        """The predicates of `whoholds.ignore` that this watch calls for each finding."""
        return self.intended.predicates

    @predicates.setter
    def predicates(self, predicates: list[Predicate]) -> None:
        self.intended.predicates = predicates

    @property
    def failed(self) -> list[str]:
        """The reasons of everything that stood aside so far, in the order of their reports."""
        return [aside.reason for aside in self.asides.all]

    @property
    def peak(self) -> int:
        """The largest number of handles open at once to one database, up to the last tick."""
        return max((trend.highest.count for trend in self.history.trends.values()), default=0)

    def _repr_html_(self) -> str:
        """The watch in a notebook: whether it runs, what is open, and its findings."""
        from whoholds.text.markup import card, table

        self.tick()
        drivers = ", ".join(sorted(name for name, entered in self.history.drivers.items() if entered))
        findings = self.findings
        rows = [("open now", str(len(self.handles))), ("at most at once", str(self.peak)), ("watched", drivers)]
        shown = [finding._repr_html_() for finding in findings[:10]]
        state = "watches this process" if self.ledger.active else "has ended its watch"
        return card(f"whoholds {state}: {len(findings)} finding{'s' * (len(findings) != 1)}", table((), rows), *shown)

    def __enter__(self) -> Watch:  # noqa: PYI034 - nobody derives from it, and Self is of 3.11
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_silent(output: Output) -> bool:
    """True if findings that this output gets reach nobody, as `otel` does in a program that has configured no SDK."""
    return bool(getattr(output, "silent", False))
