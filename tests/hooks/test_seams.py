"""Names replaced and given back, and whose fault an exception in a hook is."""

from __future__ import annotations

import ctypes
import functools
import inspect
import os
import signal
import sqlite3
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from whoholds.hooks.seams import replace, stands_for, stays_ours
from whoholds.ledger import faults
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import from_lines
from whoholds.settings.limits import Limits
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_a_name_is_given_back() -> None:
    """The very object that was there; one that was inherited is inherited again."""

    class Base:
        def method(self) -> None:
            """Do it."""

    class Derived(Base):
        pass

    for target in (Base, Derived):
        before = dict(vars(target))
        restore = replace(target, "method", lambda _: None)
        assert vars(target)["method"] is not before.get("method")
        restore()
        assert dict(vars(target)) == before


def test_what_others_put_over_us_stays() -> None:
    """Restored is only what is still ours."""
    module = types.ModuleType("library")
    module.connect = theirs = object()
    restore = replace(module, "connect", object())
    module.connect = later = object()
    restore()
    assert module.connect is later is not theirs


def test_a_stand_in_shows_nobody_of_ours() -> None:
    """Name, module, docstring and signature are the original's."""

    def connect(host: str, *, port: int = 5432) -> None:
        """Open a connection."""

    connect.__module__ = "library"

    def ours(*args: object, **kwargs: object) -> None:
        connect(*args, **kwargs)

    stand = stands_for(ours, connect)
    assert (stand.__name__, stand.__module__, stand.__doc__) == ("connect", "library", "Open a connection.")
    assert inspect.signature(stand) == inspect.signature(connect)


class TimeIsUpError(Exception):
    """What a program's handler raises."""


def time_is_up(*_: object) -> None:
    """Raise, as a handler does."""
    raise TimeIsUpError


class Limit:
    """A handler with a state."""

    def expired(self, *_: object) -> None:
        raise TimeIsUpError

    __call__ = expired


HANDLERS = [time_is_up, Limit().expired, Limit(), functools.partial(time_is_up, 1)]


@pytest.fixture
def handled() -> Iterator[Callable[[object], None]]:
    """Give what sets SIGUSR1's handler for this test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


def hook(work: Callable[[], object]) -> str:
    """Do what each of our hooks does."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - as there
        stays_ours(error)
        return "ours"
    return "no fault"


def interrupted() -> None:
    """Let the signal come here."""
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(1000):
        pass


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_programs_timeout_is_not_lost_in_a_hook(
    handled: Callable[[object], None], handler: Callable[..., None]
) -> None:
    """Whatever the handler is: what it raises goes on to the program."""
    handled(handler)
    with pytest.raises(TimeIsUpError):
        hook(interrupted)


def test_a_hooks_own_fault_ends_there(handled: Callable[[object], None]) -> None:
    """Also where the program has handlers, and where the same type is raised by others."""
    handled(time_is_up)
    assert hook(lambda: 1 // 0) == "ours"
    assert hook({}.popitem) == "ours"
    assert hook(int) == "no fault"


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
def test_a_handler_that_takes_itself_back_first_is_the_programs(handled: Callable[[object], None]) -> None:
    """As a timeout does that comes once."""

    def once(_number: int, _frame: types.FrameType | None) -> None:
        handled(signal.SIG_DFL)
        raise TimeIsUpError

    handled(once)
    with pytest.raises(TimeIsUpError):
        hook(interrupted)


class AsynchronousError(Exception):
    """What another thread sets by `PyThreadState_SetAsyncExc`."""


def test_an_asynchronous_exception_is_the_programs() -> None:
    """It comes without a handler's frame, in the middle of ours, as a class without arguments."""
    ident, raised = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(AsynchronousError)
    began = threading.Event()

    def set_it() -> None:
        began.wait()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, raised)

    def work() -> None:
        began.set()
        from_lines([("cars.py", 1, "load")] * 3_000_000)  # a second or two in one frame of ours

    setter = threading.Thread(target=set_it)
    setter.start()
    with pytest.raises(AsynchronousError):
        hook(work)
    setter.join()


def test_a_fault_is_said_once_with_its_hook_and_the_librarys_version() -> None:
    """On stderr and with the last look, however often it came."""
    faults.take()
    watch = Watch(Limits(outputs=()), ledger=Ledger())
    for _ in range(3):
        try:
            stands_for(None, len)
        except Exception as error:  # noqa: BLE001 - as in a hook
            stays_ours(error, sqlite3.Cursor.execute)
    watch.tick()
    watch.tick()
    (said,) = watch.failed
    assert said.startswith("a fault of whoholds in sqlite3.Cursor.execute: AttributeError: ")
    assert ", at hooks/seams.py:" in said
    watch.stop()
    assert watch.failed == [said]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are deferred from 3.14 on")
def test_annotations_of_a_library_are_evaluated_by_whoever_asks_for_them() -> None:
    """Not when the function is replaced: they may name what only type checkers import."""
    names: dict[str, Any] = {}
    source = "def connect(dsn: OnlyForTypeCheckers, tries: int = 3) -> None: ..."
    exec(compile(source, "library.py", "exec", dont_inherit=True), names)  # without this file's `__future__`
    stands = stands_for(lambda *_given, **_named: None, names["connect"])
    with pytest.raises(NameError, match="OnlyForTypeCheckers"):
        stands.__annotations__  # noqa: B018
    names["OnlyForTypeCheckers"] = str
    assert stands.__annotations__ == {"dsn": str, "tries": int, "return": None}
