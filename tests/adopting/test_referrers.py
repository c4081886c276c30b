"""Who refers to an object: each way in which a program can, told as its reader would look for it."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import types
import weakref
from datetime import timedelta
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import foreign_stacks
from whoholds.adopting.referrers import Climb
from whoholds.adopting.search import living
from whoholds.analysis.sites import HeldAt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Thing:
    """What is looked for."""


class Holder:
    """An object with an attribute."""

    def __init__(self, thing: Thing) -> None:
        self.thing = thing


class Slotted:
    """An object with a slot, and no dict."""

    __slots__ = ("thing",)

    def __init__(self, thing: Thing) -> None:
        self.thing = thing


@pytest.fixture
def shop(tmp_path: Any) -> Iterator[types.ModuleType]:
    """Give a module of the program's, in which a test can put globals."""
    module = types.ModuleType("attached_shop")
    module.__file__ = str(tmp_path / "attached_shop.py")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def told(thing: weakref.ref[Any], *, borrowed: bool = False) -> str:
    """Give what is said of who refers to a thing, with the file's name alone."""
    (held,) = Climb().referrers_of([thing()], borrowed={id(thing())} if borrowed else set()).values()
    return HeldAt(held.referrer).text.rpartition("/")[2]


def put(shop: types.ModuleType, name: str, value: Any) -> Thing:
    """Put what `value` makes of a thing in a global; give that thing."""
    thing = Thing()
    setattr(shop, name, value(thing))
    return thing


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda thing: thing, "global db"),
        (Holder, "global db.thing"),
        (Slotted, "global db.thing"),
        (lambda thing: [thing], "global db[…]"),
        (lambda thing: {"a key with a secret": thing}, "global db[…]"),
        (lambda thing: {"cars": [Holder(thing)]}, "global db[…][…].thing"),
        (lambda thing: Holder(Slotted(thing)), "global db.thing.thing"),  # type: ignore[arg-type]
        (lambda thing: type("Repo", (), {"conn": thing}), "class attribute Repo.conn"),
    ],
)
def test_what_a_global_leads_to(shop: types.ModuleType, value: Callable[[Thing], Any], words: str) -> None:
    """The path from the global, with the names of attributes, and without the keys of a program's dict."""
    file = "test_referrers" if words.startswith("class") else "attached_shop"
    thing = weakref.ref(put(shop, "db", value))  # in an assertion, pytest would keep it in a variable of its own
    assert told(thing) == f"{file}.py ({words})"


@foreign_stacks
def test_a_variable_of_a_function_that_runs_in_another_thread() -> None:
    """The line at which the thread is now, the function, and the name of the variable."""
    running, over = threading.Event(), threading.Event()
    things: list[weakref.ref[Thing]] = []

    def work() -> None:
        conn = Thing()
        things.append(weakref.ref(conn))
        running.set()
        over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    line = work.__code__.co_firstlineno + 4
    try:
        assert told(things[0]) == f"test_referrers.py:{line} in work (variable conn)"
        thing = things[0]()
        assert Climb().referrers_of([thing], borrowed=set())[id(thing)].ident == thread.ident
        del thing
    finally:
        over.set()
        thread.join()
    assert things[0]() is None  # the search has kept nothing of the frame


@foreign_stacks
def test_a_variable_of_a_task_that_is_suspended() -> None:
    """Likewise, of the coroutine that awaits something."""

    async def work() -> None:
        conn = Thing()
        things.append(weakref.ref(conn))
        await asyncio.sleep(1000)
        del conn

    async def main() -> str:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        said = told(things[0])
        task.cancel()
        return said

    things: list[weakref.ref[Thing]] = []
    line = work.__code__.co_firstlineno + 3
    assert asyncio.run(main()) == f"test_referrers.py:{line} in work (variable conn)"


@foreign_stacks
def test_of_a_global_and_a_variable_the_owner_is_named_and_of_a_loan_the_borrower(shop: types.ModuleType) -> None:
    """Whoever uses what a global keeps is not its owner; whoever has a pool's connection is its borrower."""

    def work(thing: Thing) -> tuple[str, str]:
        reference = weakref.ref(thing)
        return told(reference), told(reference, borrowed=True)

    by_owner, by_borrower = work(put(shop, "db", Holder))
    assert by_owner == "attached_shop.py (global db.thing)"
    assert "(variable thing)" in by_borrower


@foreign_stacks
def test_a_librarys_variable_is_named_only_without_one_of_the_programs(shop: types.ModuleType) -> None:
    """Whoever lends to a library's function further in is told, and a global before the library's variable."""
    name = f"{sys.prefix}/lib/python3/site-packages/lib/core.py"
    library: dict[str, Any] = {"told": told, "weakref": weakref}
    exec(compile("def call(thing):\n    return told(weakref.ref(thing), borrowed=True)", name, "exec"), library)

    def work(mine: Thing) -> str:
        said: str = library["call"](mine)
        return said

    by_program = work(Thing())
    put(shop, "db", lambda thing: thing)
    by_global = library["call"](shop.db)  # a test's own `assert` would keep it in a variable
    by_library = library["call"](Thing())
    assert "in work (variable mine)" in by_program
    assert by_global == "attached_shop.py (global db)"
    assert "in call (variable thing)" in by_library


def test_a_function_that_calls_locals_keeps_its_own(shop: types.ModuleType) -> None:
    """The dict that it has in its hands is neither emptied nor filled anew; the object is found all the same."""

    def work() -> tuple[dict[str, Any], str]:
        thing = put(shop, "db", Holder)
        mine = locals()
        thing.__dict__["seen"] = True
        said = told(weakref.ref(thing))
        assert mine["thing"] is thing
        return mine, said

    mine, said = work()
    assert set(mine) == {"shop", "thing"}
    assert said == "attached_shop.py (global db.thing)"


def test_living_finds_objects_that_the_collector_does_not_know() -> None:
    """Where an object that it knows refers to them, directly, or from a dict that it has stopped to track."""
    direct, inside = timedelta(days=1234567), timedelta(days=7654321)
    holder, other = Holder(direct), Holder({"conn": inside})  # type: ignore[arg-type]
    assert not gc.is_tracked(direct)
    found = living([timedelta])
    assert {id(direct), id(inside)} <= {id(one) for one in found}
    assert holder.thing is direct
    assert other


def test_living_finds_subclasses_and_keeps_nothing() -> None:
    """An object of a class that derives from a wanted one; it is freed as soon as the list is."""

    class Derived(Thing):
        pass

    thing = Derived()
    assert thing in living([Thing])
    gone = weakref.ref(thing)
    del thing
    assert gone() is None


def test_objects_that_a_module_has_freed_and_kept_are_not_touched() -> None:
    """Python 3.12's `_asyncio` tells of them; whoever takes a reference to one makes the next collection endless."""
    program = dedent("""
        import asyncio, gc
        from datetime import timedelta
        from whoholds.adopting.referrers import Climb
        from whoholds.adopting.search import living
        async def main():
            loop = asyncio.get_running_loop()
            waiting = [loop.create_future() for _ in range(20)]
            asked = [asyncio.ensure_future(wait(one)) for one in waiting]
            await asyncio.sleep(0)
            for one in waiting:
                one.set_result(None)
            await asyncio.gather(*asked)
        async def wait(future):
            await future
        class Thing: pass
        thing = Thing()
        for _ in range(3):
            asyncio.run(main())
            living([timedelta])
            Climb().referrers_of([thing], borrowed=set())
            gc.collect()
        print("done")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
