"""One watched run of pytest: a scope for each test and each shared fixture, judged at its end.

It must replace no function, and only wraps pytest's hooks. A leak is a failure of the test's call.

The file is long because pytest's hooks share the state of one run.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

from whoholds import startup
from whoholds.analysis.blame import never_blame
from whoholds.analysis.frames import shown_below, shown_path
from whoholds.ledger import scope as scoping
from whoholds.ledger.scope import Scope
from whoholds.plugins import is_quiet_in_blocks
from whoholds.reporting.first_line import message
from whoholds.reporting.matters import matters, reports
from whoholds.settings.matching import WrongSetting
from whoholds.switch import is_on
from whoholds.testing import baseline
from whoholds.testing.policy import Policy, WrongPolicy
from whoholds.testing.pytest_failure import (
    SECTION,
    count_once,
    fail,
    failed,
    failed_call_of,
    is_a_leak,
    show_beside_error,
)
from whoholds.testing.pytest_options import (
    baseline_path,
    choices_from,
    is_controller,
    known_from,
    name_of,
    only_plans,
    runs_all,
    settings_from,
    summary_from,
)
from whoholds.testing.pytest_picture import FOLDER as PICTURE_FOLDER
from whoholds.testing.pytest_picture import Picture, picture_path
from whoholds.testing.pytest_summary import Summary
from whoholds.testing.tally import Opened, Tallies, Tally
from whoholds.testing.verdict import fails_for_new_only, judge, verdict
from whoholds.watching.running import current

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from _pytest.nodes import Node

    from whoholds.analysis.finding import Finding
    from whoholds.settings.limits import Limits
    from whoholds.testing.verdict import Verdict
    from whoholds.watching.users import Use
    from whoholds.watching.watch import Watch


__tracebackhide__ = True  # pytest shows no frame of this module

# The packages that call a test: findings must not blame their lines for opening a connection or starting an owner.
RUNNERS = (
    "_pytest",
    "pytest",
    "pluggy",
    "pytest_asyncio",
    "anyio",
    "xdist",
    "execnet",
    "coverage",
    "pytest_django",
    "pytest_forked",
    "pytest_rerunfailures",
    "pytest_retry",
)


class Session:
    """The plug-in object that watches a run. The pytest plug-in makes and registers it when asked to watch."""

    def __init__(self, config: pytest.Config, mode_: str) -> None:
        self.config = config
        self._tests: dict[pytest.Item, Scope] = {}
        self._opened: dict[pytest.Item, Opened] = {}
        self._fixtures: dict[Any, Scope] = {}
        self._marked: dict[pytest.Item, Policy] = {}
        self._policies: WeakKeyDictionary[Scope, Policy] = WeakKeyDictionary()  # where markers ask for something else
        self._wrong: dict[pytest.Item, str] = {}  # what is wrong with a test's marker, in a worker
        self._pending: list[Verdict] = []  # the verdicts on fixtures that have ended and are in no report yet
        self._reports: list[pytest.TestReport] = []  # the reports of the running test until now
        self.summary = Summary(config)
        self._recorder = Tallies()
        self._watch: Watch | None = None
        for runner in RUNNERS:
            never_blame(runner)
        self._shown_before = shown_below(str(config.rootpath))  # a run within a test has a folder of its own
        self._use: Use | None = None  # of a watch that the suite has begun
        self._limits: Limits | None = None  # the settings that the watch had before the suite, if it ran already
        self._picture: Picture | None = None
        self._quiet: list[Any] = []  # outputs that stand aside while the suite runs
        try:
            self.choices = choices_from(config, mode_)
            self.known = known_from(config)
            self._table = summary_from(config)
            self._only_plans = only_plans(config)
            path = picture_path(config)
            if path is not None and not self._only_plans:
                self._picture = Picture(path, getattr(config, "workerinput", {}).get(PICTURE_FOLDER))
            if not is_controller(config):
                self._start(config)
        except (WrongPolicy, WrongSetting, baseline.WrongBaselineError) as wrong:
            shown_below(self._shown_before)
            raise pytest.UsageError(f"whoholds: {wrong}") from None

    # --- the watch ----------------------------------------------------------------------------------------------

    def _start(self, config: pytest.Config) -> None:
        settings = settings_from(config)
        running = current()
        if running is None:
            wanted = is_on(os.environ.get("WHOHOLDS", ""))
            settings["outputs"] = startup.limits_for(**settings).outputs if wanted else ()
            self._use, running = startup.hold(**settings)  # which a stop of the tests' own leaves
        else:
            self._limits = running.limits
            running.use(running.limits.with_settings(**settings))
        self._quiet = [output for output in running.outputs if is_quiet_in_blocks(output)]
        for output in self._quiet:  # each test's own report has its findings instead
            running.outputs.remove(output)
        running.outputs.append(self._recorder)
        self._recorder.watch = running
        if self._picture is not None:
            self._picture.attend(running)
        self._watch = running

    def stop(self) -> None:
        """Give every library's names back, or hand the watch back as it was before the suite."""
        shown_below(self._shown_before)
        watch, self._watch = self._watch, None
        if watch is None:
            return
        if self._picture is not None:  # it has not left if pytest ended before the session began
            self._picture.leave()
        if self._recorder in watch.outputs:
            watch.outputs.remove(self._recorder)
        watch.outputs.extend(self._quiet)
        if self._limits is not None:
            watch.use(self._limits)
        if self._use is not None:
            startup.let_go(self._use)

    # --- the demands on tests -----------------------------------------------------------------------------------

    def read_markers(self, items: Sequence[pytest.Item]) -> None:
        """Read the markers of `items`. Raises UsageError for an invalid marker.

        In a worker of pytest-xdist nobody would see that error: there the test fails, with the same words.
        """
        for item in items:
            try:
                self._marked[item] = self._marked_policy(item)
            except WrongPolicy as wrong:
                if not hasattr(self.config, "workerinput"):
                    raise pytest.UsageError(f"{item.nodeid}: {wrong}") from None
                self._wrong[item] = f"{item.nodeid}: {wrong}"

    def _marked_policy(self, node: Node) -> Policy:
        """The policy for a test, class or module by its markers, the outermost first. Raises `WrongPolicy`."""
        policy = self.choices
        for marker in reversed(list(node.iter_markers("whoholds"))):
            policy = policy.marked(marker.args, marker.kwargs)
        return policy

    def opened_by(self, item: pytest.Item) -> Opened:
        """What the running test opened until now, for the fixture `whoholds`.

        A test that asks for the fixture only while it runs may be the first to need the watch: its scope begins here.
        """
        if item not in self._opened:
            self._begin(item)
        return self._opened[item]

    # --- tests --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Begins the test's scope: what is opened from here on belongs to the test."""
        self._begin(item)
        done = yield
        if item in self._wrong:
            pytest.fail(self._wrong[item], pytrace=False)
        return done

    def _begin(self, item: pytest.Item) -> None:
        for other in list(self._tests):  # a test that a KeyboardInterrupt or an exit ended
            self._leave(other)
        if self._watch is not None:
            scope = self._tests[item] = Scope(item.nodeid, "test")
            if item in self._marked:
                self._policies[scope] = self._marked[item]
            record = self._recorder.follow(scope, self._watch.ledger.stamps)
            self._opened[item] = Opened(self._watch, record)
            scoping.begin(scope)

    def _leave(self, item: pytest.Item) -> Scope | None:
        scope = self._tests.pop(item, None)
        self._opened.pop(item, None)
        if scope is not None:
            scoping.over(scope)
        return scope

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judges the test after its teardown; the teardown's report carries the verdict."""
        report = yield
        if call.when == "setup":
            self._reports.clear()
        self._reports.append(report)
        if call.when == "call" and report.failed and "whoholds" in getattr(item, "fixturenames", ()):
            self._show_findings(item, report)
        if call.when == "teardown":
            self._judge(item, report)
        return report

    def _show_findings(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Add the reports of the findings so far to a failed test that may have asserted that there are none.

        pytest itself shows only the beginning and the end of a long value.
        """
        opened = self._opened.get(item)
        findings = opened.findings if opened is not None else []
        if findings:
            report.sections.append(("whoholds.findings", self._texts(findings)))

    def _judge(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Judge the test and the shared fixtures that ended with it; `report`, of its teardown, gets the verdicts."""
        scope = self._leave(item)
        if scope is None or self._watch is None:
            return
        verdicts = [self._verdict_on(scope, self._watch), *self._pending]
        self._pending = []
        if not any(each.record.handles or each.judged for each in verdicts):
            return
        vars(report)["whoholds"] = self._as_data(verdicts)  # xdist sends a report's attributes along
        self._tell(report, verdicts)

    def _verdict_on(self, scope: Scope, watch: Watch) -> Verdict:
        """The verdict on a test or fixture that has ended, by its own policy and the baseline."""
        policy = self._policies.get(scope, self.choices)
        if not policy.asks:
            return verdict(scope, self._recorder.leave(scope), policy)
        judged = judge(watch, self._recorder, scope, policy)
        if self.config.getoption("whoholds_update_baseline"):
            return fails_for_new_only(judged, {finding.fingerprint: None for finding in judged.failing})
        return judged if self.known is None else fails_for_new_only(judged, self.known)

    def _as_data(self, verdicts: list[Verdict]) -> list[dict[str, Any]]:
        """The verdicts as JSON types; their findings go to the picture, too."""
        data = [each.as_data() for each in verdicts]
        if self._picture is not None:
            self._picture.add(finding for each in data for finding in each["findings"])
        return data

    def _tell(self, report: pytest.TestReport, verdicts: list[Verdict]) -> None:
        """`report` gets the findings: as a failure of the test's call, of this teardown, or as a section."""
        found = [finding for each in verdicts for finding, _ in each.judged]
        if not found:
            return
        report.user_properties = [
            *report.user_properties,
            *(("whoholds", message(finding)) for finding in found),
        ]
        of_the_call = bool(verdicts[0].failing) and not any(map(failed, self._reports))
        # A shared fixture that leaks is an error of the teardown it ended in: this test did nothing wrong.
        judged = verdicts if of_the_call else [] if report.failed else verdicts[1:]
        failing = [finding for each in judged for group in matters(each.failing) for finding in group]
        if failing:
            fail(report, failing, self._texts(failing), of_the_call=of_the_call)
        found = [finding for finding in found if finding not in failing]
        if found:
            report.sections.append((SECTION, self._texts(found)))

    def _texts(self, findings: Sequence[Finding]) -> str:
        groups = matters(findings)
        links = [f"\n  picture: {self._picture.link(group[0])}" if self._picture else "" for group in groups]
        return "\n\n".join(f"{report}{link}" for report, link in zip(reports(findings), links, strict=True))

    # --- fixtures -----------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Begins the scope of a fixture for several tests: what the fixture opens is judged when it ends."""
        if self._watch is None or fixturedef.scope == "function":
            return (yield)
        scope = self._fixtures.get(fixturedef)
        if scope is None:
            scope = self._fixtures[fixturedef] = Scope(name_of(fixturedef), "fixture")
            self._recorder.follow(scope)
            with suppress(WrongPolicy):  # the test with that marker fails
                self._policies[scope] = self._marked_policy(request.node)
        scoping.begin(scope)
        try:
            return (yield)
        finally:
            scoping.over(scope)
            # What the fixture opens after its `yield` belongs to it, too: this finalizer runs before that code.
            fixturedef.addfinalizer(lambda: scoping.begin(scope))

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Judges a shared fixture that has ended; the teardown in which it ended reports it."""
        scope = self._fixtures.pop(fixturedef, None)
        if scope is None or self._watch is None:
            return
        scoping.over(scope)
        self._pending.append(self._verdict_on(scope, self._watch))

    # --- the end ------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)  # before the terminal's summary, and before a worker's last message
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Reports what no test's report can carry: fixtures that ended with the session, and late handles."""
        result = yield
        if self._only_plans:
            return result
        self._late()
        data = self._as_data([each for each in self._pending if each.record.handles or each.judged])
        self._pending = []
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            output["whoholds"] = data
            self._draw()
            return result
        self._draw()
        self.summary.add(data, late=True)
        if self._update():
            return result
        if self.known is not None:
            compared = baseline.compare(self.known, self.summary.records())
            self.summary.compared = compared if runs_all(session) else replace(compared, fewer=[])
        unwritten = bool(self.summary.written)  # nowhere: the baseline could not be written
        if (self.summary.failing_late or unwritten) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    def _draw(self) -> None:
        """Write what is open at the end, and draw the picture, unless this is a worker. A failure is only reported."""
        if self._picture is None:
            return
        self._picture.leave()
        try:
            self._picture.draw(f"pytest {' '.join(map(str, self.config.invocation_params.args))}")
            self.summary.drawn = shown_path(str(self._picture.path))
        except OSError as error:
            self.summary.drawn = f"nowhere: {error}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tells a worker where the journals of the picture are. Called in pytest-xdist's controller."""
        if self._picture is not None:
            node.workerinput[PICTURE_FOLDER] = self._picture.folder

    def _late(self) -> None:
        """Judges what a thread opened for a test that was over by then and left open, under that test's name."""
        if self._watch is None:
            return
        self._watch.tick()
        by_scope: dict[Scope, Tally] = {}
        for handle in self._recorder.late:
            by_scope.setdefault(handle.scope, Tally()).handles[handle.opened_stamp] = handle
        self._recorder.late.clear()
        for scope, record in by_scope.items():
            if any(handle.open for handle in record.handles.values()):
                self._recorder.follow(scope).handles.update(record.handles)
                self._pending.append(self._verdict_on(scope, self._watch))

    def _update(self) -> bool:
        path = baseline_path(self.config)
        if path is None or not self.config.getoption("whoholds_update_baseline"):
            return False
        try:
            baseline.write(path, self.summary.records())
            self.summary.written = shown_path(str(path))
        except OSError as error:
            self.summary.written = f"nowhere: {error}"
            return False
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Adds the findings that a worker sent at its end. Called in pytest-xdist's controller."""
        self.summary.add(getattr(node, "workeroutput", {}).get("whoholds", []), late=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        """Logs the failed call that the report of a teardown carries, before that report.

        Plug-ins that run a test again or in a process of its own log its reports later than pytest, or not at all.
        The findings of each report, from this process or from a worker, go to the summary.
        """
        call = failed_call_of(report)
        if call is not None:
            session: Any = self.config.pluginmanager.get_plugin("session")
            hooks = session.gethookproxy(self.config.rootpath / report.location[0])
            hooks.pytest_runtest_logreport(report=call)
        done = yield
        self.summary.add(getattr(report, "whoholds", []))
        if is_a_leak(report):
            count_once(self.config, report)
        if report.when == "teardown":
            show_beside_error(self.config, report)
        return done

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Writes the table of leaks by opening line and tests by peak, and what failed the run alone."""
        if self._only_plans:
            return
        if self.config.getoption("whoholds_github"):
            self.summary.annotate(terminalreporter)
        if self._table:
            self.summary.write(terminalreporter, asked=bool(self.choices.mode))
        self.summary.write_late(terminalreporter)
