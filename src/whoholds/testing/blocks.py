"""For tests with any runner: blocks that must leak nothing or open few connections, and a TestCase mixin.

Importing this module patches nothing. The first block starts a watch if none runs; it lasts as long as the process.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType

    from whoholds.testing.policy import Policy
    from whoholds.testing.tally import Opened
    from whoholds.testing.trial import Trial

__tracebackhide__ = True  # pytest shows no frame of this module

Function = TypeVar("Function", bound="Callable[..., Any]")


class LeakError(AssertionError):
    """A block left a handle open, or opened too many. Its text is the whole report."""


def assert_no_leaks(*, allow: object = ()) -> Block:
    """A block that raises `LeakError` at its end unless every handle opened in it is closed.

    Handles that threads and tasks started in the block have opened count, too. `allow` is intended: a rule,
    `rule@path-glob[:function]`, a function of a finding, or a list of these. For `with` and `async with`, and as a
    decorator of functions and coroutine functions.
    """
    from whoholds.testing.policy import ERROR, Policy

    return Block("assert_no_leaks()", Policy(ERROR, allow=_allowed(allow)))


def assert_max_open(most: int) -> Block:
    """A block in which at most `most` connections and loans may be open at once, as when work must not fan out.

    Raises `LeakError` at its end otherwise.
    """
    from whoholds.testing.policy import Policy, number

    return Block(f"assert_max_open({most})", Policy(max_open=number("assert_max_open(…)", most)))


def assert_max_connects(most: int) -> Block:
    """A block that may open at most `most` connections in all, as when it must not connect once per item.

    Raises `LeakError` at its end otherwise.
    """
    from whoholds.testing.policy import Policy, number

    return Block(f"assert_max_connects({most})", Policy(max_connects=number("assert_max_connects(…)", most)))


class Block:
    """A stretch of a test that is judged at its end. One object may be used again and again, also inside itself."""

    def __init__(self, name: str, choices: Policy) -> None:
        self._name = name
        self._choices = choices
        self._runs: list[Trial] = []  # entered and not left yet, the innermost last

    def _begin(self, where: str) -> Opened:
        from whoholds.testing.trial import Trial

        run = Trial(f"{self._name} {where}", "block", self._choices)
        self._runs.append(run)
        return run.opened

    def __enter__(self) -> Opened:
        return self._begin(_at(sys._getframe(1)))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Judge the block. An exception from it goes on, with the report as a note (from Python 3.11 on)."""
        report = self._runs.pop().end()
        if report and value is None:
            raise LeakError(report)
        if report and value is not None and hasattr(value, "add_note"):
            value.add_note(report)

    async def __aenter__(self) -> Opened:
        return self._begin(_at(sys._getframe(1)))

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Judge as `__exit__` does, after the tasks that the block started had a moment to end."""
        await self._runs[-1].settle()
        self.__exit__(kind, value, traceback)

    def __call__(self, function: Function) -> Function:
        """`function`, or a coroutine function, wrapped so that each call is a block. Raises TypeError for others."""
        if (
            not inspect.isroutine(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(f"{self._name} decorates a function or coroutine function, got {function!r}")
        where = f"of {getattr(function, '__qualname__', str(function)).rpartition('<locals>.')[2]}"
        decorated: Any = (
            self._awaited(function, where) if inspect.iscoroutinefunction(function) else self._called(function, where)
        )
        return decorated  # type: ignore[no-any-return]  # functools.wraps keeps the signature

    def _called(self, function: Callable[..., Any], where: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            block = Block(self._name, self._choices)
            block._begin(where)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                block.__exit__(type(error), error, None)
                raise
            block.__exit__(None, None, None)
            return result

        return called

    def _awaited(self, function: Callable[..., Any], where: str) -> Callable[..., Any]:
        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            block = Block(self._name, self._choices)
            block._begin(where)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                await block.__aexit__(type(error), error, None)
                raise
            await block.__aexit__(None, None, None)
            return result

        return awaited


class NoLeaksMixin:
    """`class TestCars(NoLeaksMixin, unittest.TestCase)`: each test is judged after its tearDown and cleanups.

    Works with `IsolatedAsyncioTestCase` and Django's classes. A test that failed keeps its own failure.
    """

    max_open: ClassVar[int | None] = None  # connections and loans open at once in one test
    max_connects: ClassVar[int | None] = None  # connections opened in one test
    allow_leaks: ClassVar[object] = ()  # what is intended, as for `assert_no_leaks`

    def run(self, result: Any = None) -> Any:
        """Runs the test, with the judging as the cleanup added first and so called last. Called by the runner."""
        from whoholds.testing.policy import ERROR, Policy
        from whoholds.testing.trial import Trial

        test: Any = self
        choices = Policy(
            ERROR, max_open=self.max_open, max_connects=self.max_connects, allow=_allowed(self.allow_leaks)
        )
        run = Trial(test.id(), "test", choices)
        test.addCleanup(self._no_leaks, run, result)
        try:
            return super().run(result)  # type: ignore[misc]  # TestCase has it
        finally:
            run.end()

    def _no_leaks(self, run: Trial, result: Any) -> None:
        report = run.end()
        if report and not self._failed(result):
            raise LeakError(report)

    def _failed(self, result: Any) -> bool:
        """Whether the test failed for a reason of its own, also as expected.

        Its result, its `_outcome` or pytest's result holds that reason, under the name of the subtest if one failed.
        """
        told = [
            *getattr(result, "failures", ()),
            *getattr(result, "errors", ()),
        ]
        outcome = getattr(self, "_outcome", None)
        return (
            any(getattr(test, "test_case", test) is self for test, _ in told)
            or any(error for _, error in getattr(outcome, "errors", ()))
            or bool(getattr(outcome, "expectedFailure", None))
            or bool(getattr(result, "_excinfo", None))
        )


def _allowed(allow: object) -> tuple[Any, ...]:
    from whoholds.testing.policy import allowed

    many: Iterable[object] = allow if isinstance(allow, list | tuple | set) else (allow,)
    return tuple(allowed("allow", one) for one in many)


def _at(frame: FrameType) -> str:
    from whoholds.analysis.frames import shown_path

    return f"at {shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"
