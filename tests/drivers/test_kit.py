"""The kit's promises, for every hook that is built on it: the program's call, its exception, and faults of ours."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import whoholds
from whoholds.drivers import kit
from whoholds.drivers import sqlite as sqlite_driver
from whoholds.ledger import faults
from whoholds.ledger.database import database
from whoholds.ledger.ledger import Ledger
from whoholds.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.analysis.finding import Look


class Pool:
    """A library's: it lends a thing, or raises."""

    calls = 0

    def lend(self, what: str, *, fail: bool = False) -> list[str]:
        """Lend it."""
        self.calls += 1
        if fail:
            raise LookupError(what)
        return [what]

    async def lend_later(self, what: str, *, fail: bool = False) -> list[str]:
        """Lend it, after a moment."""
        await asyncio.sleep(0)
        return self.lend(what, fail=fail)


def wrapped(name: str, *hooks: Any, **more: Any) -> Callable[..., Any]:
    """Give the method `name` of a Pool with these hooks around it, as a plain function."""
    original = vars(Pool)[name]
    if name == "lend":
        return kit.around(original, *hooks, **more)  # type: ignore[no-any-return]
    call = kit.around_async(original, *hooks, **more)

    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = call(*args, **kwargs)
        del args, kwargs  # an exception that is kept holds this frame too, by the way of those that it called
        return asyncio.run(coroutine)

    return run


both = pytest.mark.parametrize("name", ["lend", "lend_later"])


def broken(*_: Any) -> Any:
    """A hook that fails."""
    return 1 // 0


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    """What one test's hooks did is no other's."""
    faults.take()
    yield
    faults.take()


@both
def test_hooks_are_told_in_order(name: str) -> None:
    """`before` with the arguments and the caller's frame, then `after` with what it kept and the result."""
    told: list[Any] = []

    def before(pool: Pool, args: Any, kwargs: Any, frame: Any) -> str:
        told.append((type(pool), args, kwargs, frame.f_code.co_filename))
        return "kept"

    call = wrapped(name, before, lambda *what: told.append(what[1:3]), lambda *what: told.append(what[1:3]))
    assert call(Pool(), "x", fail=False) == ["x"]
    assert told[0][:3] == (Pool, ("x",), {"fail": False})
    assert told[1:] == [("kept", ["x"])]
    if name == "lend":
        assert told[0][3] == __file__
    with pytest.raises(LookupError) as raised:
        call(Pool(), "y", fail=True)
    assert told[-1] == ("kept", raised.value)


@both
@pytest.mark.parametrize("place", ["before", "after", "failed", "gives"])
def test_a_hook_that_fails_changes_nothing(name: str, place: str) -> None:
    """The call is made once, with its own result or exception; the fault is noted with the name of the call."""
    call = wrapped(name, **{place: broken})
    pool = Pool()
    assert call(pool, "x") == ["x"]
    with pytest.raises(LookupError, match="y"):
        call(pool, "y", fail=True)
    assert pool.calls == 2
    noted = faults.take()
    assert {error.partition(":")[0] for _, error, _ in noted} == {"ZeroDivisionError"}
    assert {hook.rpartition(".")[2] for hook, _, _ in noted} == {name}


def test_arguments_that_cannot_be_changed_go_on_as_they_came() -> None:
    """And so does a function that has no `self`."""
    call = kit.around(sorted, arguments=broken, method=False)
    assert call([2, 1], reverse=True) == [2, 1]
    call = kit.around(sorted, arguments=lambda _, args, kwargs: (args, {**kwargs, "reverse": True}), method=False)
    assert call([1, 2]) == [2, 1]


class TimeIsUpError(Exception):
    """What a program's handler raises."""


@pytest.fixture
def interrupting() -> Iterator[Callable[..., None]]:
    """Give a hook in whose middle the program's signal handler raises."""

    def handler(*_: object) -> None:
        raise TimeIsUpError

    def hook(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(1000):
            pass

    earlier = signal.signal(signal.SIGUSR1, handler)
    yield hook
    signal.signal(signal.SIGUSR1, earlier)


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
@both
@pytest.mark.parametrize("place", ["before", "after", "failed"])
def test_a_handlers_exception_reaches_the_program(interrupting: Callable[..., None], name: str, place: str) -> None:
    """And `failed` is told of it, where `before` or `after` was interrupted; it is no fault of ours."""
    told: list[Any] = []
    hooks = {"failed": lambda *what: told.append(type(what[2])), place: interrupting}
    with pytest.raises(TimeIsUpError):
        wrapped(name, **hooks)(Pool(), "x", fail=place == "failed")
    assert told == ([] if place == "failed" else [TimeIsUpError])
    assert faults.take() == []


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
def test_nobody_is_inside_after_a_handlers_exception(interrupting: Callable[..., None]) -> None:
    """Wherever it raised: in the call itself, which is a use that failed, or when the transaction was read."""
    with Watch(ledger=Ledger(), detectors={}, drivers=[sqlite_driver.watch]) as watch:
        connection = sqlite3.connect(":memory:")
        (handle,) = watch.handles
        connection.create_function("interrupt", 0, interrupting)
        with pytest.raises((TimeIsUpError, sqlite3.OperationalError)):
            connection.execute("SELECT interrupt()").fetchall()
        assert handle.caller == 0
        used = kit.used(sqlite3.Connection.commit, watch.ledger, kit.whoholds_of, interrupting)
        with pytest.raises(TimeIsUpError):
            used(connection)
        assert handle.caller == 0
        connection.close()
        assert watch.handles == []


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
@pytest.mark.parametrize("step", ["identify", "keep"])
def test_a_connection_that_the_program_does_not_get_is_not_called_unwatched(
    interrupting: Callable[..., None], step: str
) -> None:
    """A signal's handler raised while it was opened; one that the program gets in spite of our fault counts."""
    looks: list[Look] = []
    connect = {"identify": lambda *_: (database("sqlite"), None), "keep": lambda *_: None}
    with Watch(ledger=Ledger(), detectors={}, outputs=[looks.append]) as watch:
        opens = kit.connector(Pool, watch.ledger, "pools", **{**connect, step: interrupting})
        with pytest.raises(TimeIsUpError):
            opens()
        assert watch.handles == []
        assert not watch.ledger.unwatched
        assert isinstance(kit.connector(Pool, watch.ledger, "pools", **{**connect, step: broken})(), Pool)
        assert watch.handles == []
    assert "1 connection of pools could not be watched: whoholds failed where it was opened" in looks[-1].remarks


def test_connections_of_a_programs_own_class_that_cannot_be_watched_are_counted() -> None:
    """The class of this program takes our attribute and never gives it back."""
    looks: list[Look] = []

    class Forgets(sqlite3.Connection):
        def __getattribute__(self, name: str) -> Any:
            if name == "_whoholds":
                raise AttributeError(name)
            return super().__getattribute__(name)

    with Watch(ledger=Ledger(), detectors={}, drivers=[sqlite_driver.watch], outputs=[looks.append]) as watch:
        for _ in range(2):
            sqlite3.connect(":memory:", factory=Forgets).close()
        assert watch.handles == []
    (remark,) = looks[-1].remarks
    assert remark == "2 connections of sqlite3 could not be watched: a factory of the program's made them"


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGUSR1")
def test_a_close_that_was_interrupted_is_a_close(interrupting: Callable[..., None]) -> None:
    """The library is asked whether it closed: the connection is closed in the ledger too."""
    with Watch(ledger=Ledger(), detectors={}, drivers=[sqlite_driver.watch]) as watch:

        class Late(sqlite3.Connection):
            def close(self) -> None:
                super().close()
                interrupting()

        connection = sqlite3.connect(":memory:", factory=Late)
        with pytest.raises(TimeIsUpError):
            connection.close()
        assert watch.handles == []


@both
def test_a_kept_exception_keeps_nothing(name: str) -> None:
    """Neither the object nor the arguments nor what was kept, whichever hook has failed."""

    class Thing(str):
        __slots__ = ("__weakref__",)

    call = wrapped(name, lambda *what: what, broken, broken)
    pool, thing = Pool(), Thing("x")
    gone = [weakref.ref(pool), weakref.ref(thing)]
    gc.collect()
    gc.disable()
    try:
        try:
            call(pool, thing, fail=True)
        except LookupError as error:
            error.args = ()
            kept = error
        del pool, thing
        kept = kept.with_traceback(kept.__traceback__ and ours_only(kept.__traceback__))
        assert [reference() for reference in gone] == [None, None]
    finally:
        gc.enable()


def ours_only(traceback: Any) -> Any:
    """Cut the frames of the library and of the loop off: they hold its object, watched or not."""
    import types

    frames = []
    while traceback is not None:
        if "_importlib_bootstrap" in traceback.tb_frame.f_code.co_filename:
            frames.append(traceback)
        traceback = traceback.tb_next
    after = None
    for one in reversed(frames):
        after = types.TracebackType(after, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return after


def test_a_cursor_has_its_connections_functions() -> None:
    """`through` lifts them, and finds a handle without a call of ours."""

    class Connection:
        _whoholds = "handle"

    class Cursor:
        connection = Connection()

    assert kit.through("connection", kit.whoholds_of)(Cursor()) == "handle"
    assert kit.through("connection", lambda connection, more: (type(connection), more))(Cursor(), 1) == (Connection, 1)


def test_a_library_that_a_driver_does_not_know_is_said() -> None:
    """With its version and those that are known; without a version nothing is asked."""
    kit.library("whoholds", "2.5.1", "2.5", "3")
    kit.library("whoholds")
    for version in ("2.4.9", "3.0", "3.0rc1"):
        with pytest.raises(
            kit.StandsAside, match=rf"shop {version} is here; this driver knows shop from 2.5 to below 3"
        ):
            kit.library("shop", version, "2.5", "3", packages=("whoholds",))


@pytest.mark.parametrize("name", ["sqlite3", "sqlite3.dbapi2"])
def test_a_module_that_has_a_driver_is_not_watched_twice(name: str) -> None:
    """Each of its connections would be two: an error says that it is watched, and by whom."""
    from importlib import import_module

    with pytest.raises(ValueError, match=r"sqlite3 is watched already by whoholds' own driver"):
        whoholds.watch_module(import_module(name))


class Places:
    """A library's pool that takes back."""

    def one(self, thing: str) -> str:
        return thing

    def three(self, thing: str, key: str = "key", close: str = "") -> tuple[str, str, str]:
        if close:
            raise LookupError(thing)
        return thing, key, close

    def any(self, *things: str, **more: str) -> tuple[Any, ...]:
        return things, more

    def refuses(self, *things: str) -> None:
        raise LookupError(things)


def test_named_arguments_reach_the_library_as_they_were_named() -> None:
    """In any order, with its defaults; the hooks get the first, and what is wrong is the library's to refuse."""
    seen: list[Any] = []

    def around(name: str) -> Any:
        return kit.around_named(
            vars(Places)[name],
            lambda _, first: seen.append(first),
            lambda _, first, exc: seen.append((first, type(exc))),
        )

    places, one, three = Places(), around("one"), around("three")
    assert one(places, thing="a") == one(places, "a") == "a"
    assert three(places, close="", thing="b") == ("b", "key", "")
    with pytest.raises(LookupError) as raised:
        three(places, "c", close="now")
    assert seen == ["a", "a", "b", "c", ("c", LookupError)]
    assert [set(names) & {"a", "b", "c", "d", "self", "thing"} for names in locals_of(raised.value)[1:2]] == [set()]
    assert around("any")(places, "d", e="f") == (("d",), {"e": "f"})
    assert around("any")(places, e="f") == ((), {"e": "f"})
    assert seen[-2:] == ["d", "f"]
    with pytest.raises(LookupError):
        around("refuses")(places, "g")
    assert seen[-2:] == ["g", ("g", LookupError)]
    for wrong in (lambda: three(places), lambda: one(places, "a", "b"), lambda: one(places, other="a")):
        with pytest.raises(TypeError, match=r"Places\.(one|three)\(\)|missing|positional|unexpected"):
            wrong()


def locals_of(exc: BaseException) -> list[dict[str, Any]]:
    """The local variables of each frame that the exception went through, but those without a value."""
    frames, at = [], exc.__traceback__
    while at is not None:
        frames.append({name: value for name, value in at.tb_frame.f_locals.items() if value is not None})
        at = at.tb_next
    return frames


def test_what_was_given_back_is_closed_again_without_a_hook() -> None:
    """A finalizer's second close; and nothing is asked of a class that answers for the connection below."""
    seen: list[str] = []

    class Lent:
        mark: Any

        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError(name)

        def close(self) -> str:
            return "closed"

    close = kit.while_lent(
        vars(Lent)["close"], "mark", lambda *_: seen.append("before"), lambda *_: seen.append("after")
    )
    lent = Lent()
    assert close(lent) == "closed"
    assert seen == []
    lent.mark = 1
    assert close(lent) == "closed"
    assert seen == ["before", "after"]
    lent.mark = None
    assert close(lent) == "closed"
    assert seen == ["before", "after"]
