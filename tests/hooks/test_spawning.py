"""Who runs here and where that thread, job or task was started, by every way of starting one."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import concurrent.futures.thread
import contextvars
import functools
import gc
import multiprocessing.pool
import multiprocessing.process
import pickle
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.processes.leaks import posix
from tests.programs import Programs
from tests.worlds import at
from whoholds.analysis.sites import Sites
from whoholds.hooks import spawning as spawn
from whoholds.ledger import here
from whoholds.ledger.owner import Owner, Spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

CLASSES = (
    threading.Thread,
    asyncio.base_events.BaseEventLoop,
    concurrent.futures.thread._WorkItem,
    multiprocessing.process.BaseProcess,
)


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """Stand in every way of starting something while a test lasts; nothing of ours is left on a class then."""
    before = [dict(vars(one)) for one in CLASSES]
    spawn.watch()
    assert [dict(vars(one)) for one in CLASSES] != before
    yield
    spawn.forget()
    assert [dict(vars(one)) for one in CLASSES] == before


class Seen(list[Owner]):
    """The owners that ran `here`."""

    def here(self, *_: object) -> None:
        """Remember who runs."""
        owner = here.current_owner()
        assert owner is not None
        assert here.current_owner() is owner
        self.append(owner)

    async def there(self, *_: object) -> None:
        """Do it in a coroutine, before and after others had their turn."""
        self.here()
        await asyncio.sleep(0)
        assert here.current_owner() is self[-1] or len(self) > 1


def line_of(owner: Owner) -> tuple[str, str]:
    """Give function and source of the line that started it."""
    assert owner.spawn is not None
    frame = Sites().of(owner.spawn.origin).frame
    return frame.function, frame.source


@pytest.fixture
def seen() -> Seen:
    """Give what remembers the owners."""
    return Seen()


# --- threads ----------------------------------------------------------------------------------------------------


def starts_a_thread(seen: Seen) -> None:
    one = threading.Thread(target=seen.here, name="worker")
    one.start()
    one.join()


def starts_a_subclass(seen: Seen) -> None:
    class Own(threading.Thread):
        def run(self) -> None:
            seen.here()

    one = Own(name="worker")
    one.start()
    one.join()


def starts_a_timer(seen: Seen) -> None:
    one = threading.Timer(0, seen.here)
    one.name = "worker"
    one.start()
    one.join()


@pytest.mark.parametrize("starts", [starts_a_thread, starts_a_subclass, starts_a_timer])
def test_a_thread_knows_the_line_of_its_start(seen: Seen, starts: Callable[[Seen], None]) -> None:
    """Not that of its construction; and it is gone when it has ended."""
    starts(seen)
    (owner,) = seen
    assert (owner.kind, owner.name) == ("thread", "worker")
    assert line_of(owner) == (starts.__name__, "one.start()")
    assert owner.gone()


def test_the_main_thread_was_started_by_nobody() -> None:
    """It lives."""
    owner = here.current_owner()
    assert owner is not None
    assert (owner.kind, owner.name, owner.spawn, owner.gone()) == ("thread", "MainThread", None, False)


def test_a_thread_of_c_codes_making_gets_no_thread_object() -> None:
    """`current_thread` would make one that the program sees for ever."""
    before = set(threading.enumerate())
    owners = Seen()
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        owners.here()
        done.release()

    _thread.start_new_thread(work, ())
    assert done.acquire(timeout=10)
    assert (owners[0].kind, owners[0].spawn) == ("thread", None)
    assert set(threading.enumerate()) <= before  # some other test's may have ended meanwhile


def test_an_ident_that_is_used_again_is_another_owner(seen: Seen) -> None:
    """Thread idents are; Thread objects are not."""
    for _ in range(5):
        starts_a_thread(seen)
    assert len({id(owner) for owner in seen}) == 5
    assert all(owner.gone() for owner in seen)


# --- jobs -------------------------------------------------------------------------------------------------------


def submits(executor: concurrent.futures.Executor, seen: Seen) -> None:
    executor.submit(seen.here).result()


def maps(executor: concurrent.futures.Executor, seen: Seen) -> None:
    list(executor.map(seen.here, [1]))


@pytest.mark.parametrize("gives", [submits, maps])
def test_a_job_knows_the_line_that_gave_it(seen: Seen, gives: Callable[..., None]) -> None:
    """Its worker, which the first job had started, is not gone with it; and it knows how wide the executor is."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as executor:
        executor.submit(int).result()
        gives(executor, seen)
        (owner,) = seen
        assert owner.kind == "job"
        assert line_of(owner)[0] == gives.__name__
        assert owner.spawn.width == 3
        executor.submit(int).result()
        assert (owner.job_over_at is not None, owner.gone()) == (True, False)
        assert owner.thread.is_worker
    assert owner.gone()


def test_each_job_of_a_worker_is_an_owner_of_its_own(seen: Seen) -> None:
    """With a line of its own, whoever started the worker."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        submits(executor, seen)
        maps(executor, seen)
    assert [line_of(owner)[0] for owner in seen] == ["submits", "maps"]
    assert seen[0].thread is seen[1].thread


def test_a_worker_that_opened_something_of_its_own_works_at_its_jobs(seen: Seen) -> None:
    """In its initializer, for instance: then the job is the owner, and after the job the thread again."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1, initializer=seen.here) as executor:
        submits(executor, seen)
        submits(executor, seen)
        done = threading.Event()

        class Idle:
            """A work item that is no job."""

            def run(self, *_context: object) -> None:  # from 3.14 on with the worker's
                seen.here()
                done.set()

        executor._work_queue.put(Idle())  # type: ignore[arg-type]
        assert done.wait(10)
    assert [owner.kind for owner in seen] == ["thread", "job", "job", "thread"]
    assert seen[0] is seen[3]
    assert seen[1] is not seen[2]


def makes_a_pool(seen: Seen) -> None:
    with multiprocessing.pool.ThreadPool(2) as pool:
        pool.map(seen.here, range(2))


def test_a_thread_pools_threads_were_started_where_it_was_made(seen: Seen) -> None:
    """`multiprocessing.pool.ThreadPool` has no `submit`: its threads are the owners."""
    makes_a_pool(seen)
    assert {owner.kind for owner in seen} == {"thread"}
    assert {line_of(owner)[0] for owner in seen} == {"makes_a_pool"}


# --- tasks ------------------------------------------------------------------------------------------------------


async def creates_a_task(seen: Seen) -> None:
    await asyncio.create_task(seen.there(), name="load")


async def gathers(seen: Seen) -> None:
    await asyncio.gather(seen.there(), seen.there())


async def ensures(seen: Seen) -> None:
    await asyncio.ensure_future(seen.there())


async def waits_for_some(seen: Seen) -> None:
    for one in asyncio.as_completed([seen.there()]):
        await one


async def groups(seen: Seen) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(seen.there())


WAYS = [creates_a_task, gathers, ensures, waits_for_some]
if sys.version_info >= (3, 11):
    WAYS.append(groups)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_task_knows_the_line_that_created_it(
    seen: Seen, way: Callable[[Seen], Coroutine[Any, Any, None]], debug: bool
) -> None:
    """However deep in asyncio that ends; in debug mode too; it is gone when it is done."""
    asyncio.run(way(seen), debug=debug)
    for owner in seen:
        assert owner.kind == "task"
        assert line_of(owner)[0] == way.__name__
        assert owner.gone()
    assert len(seen) == (2 if way is gathers else 1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_knows_its_line_before_it_is_returned(seen: Seen) -> None:
    """It runs inside `create_task`; also one that such a task creates."""

    async def inner() -> None:
        seen.here()

    async def outer() -> None:
        seen.here()
        await asyncio.create_task(inner())

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(outer())
        seen.here()

    asyncio.run(main())
    assert [owner.kind for owner in seen] == ["task"] * 3
    assert [line_of(owner)[0] for owner in seen[:2]] == ["main", "outer"]
    assert seen[1].spawn.by is seen[0]
    assert seen[0].spawn.by is seen[2]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="came with 3.14")
def test_a_task_that_is_asked_to_start_eagerly_knows_its_line(seen: Seen) -> None:
    """`create_task(…, eager_start=True)`, without a factory; `eager_start=False` begins later as ever."""

    async def main() -> None:
        await asyncio.create_task(seen.there(), eager_start=True)  # type: ignore[call-arg]
        await asyncio.create_task(seen.there(), eager_start=False)  # type: ignore[call-arg]
        async with asyncio.TaskGroup() as group:
            group.create_task(seen.there(), eager_start=True)  # type: ignore[call-arg]

    asyncio.run(main())
    assert [owner.kind for owner in seen] == ["task"] * 3
    assert [line_of(owner)[0] for owner in seen] == ["main"] * 3
    assert seen[1].spawn.by is seen[2].spawn.by


def test_a_task_made_by_its_class_is_a_task_of_nobodys(seen: Seen) -> None:
    """`asyncio.Task(…)` goes by no hook: its owner is known, its line is not."""

    async def main() -> None:
        await asyncio.Task(seen.there(), loop=asyncio.get_running_loop())

    asyncio.run(main())
    assert (seen[0].kind, seen[0].spawn) == ("task", None)


def test_a_task_factory_of_the_programs_own_is_respected(seen: Seen) -> None:
    """It gets what it would without us; tasks without room for our mark are owners all the same."""
    asked: list[object] = []

    class Strict(asyncio.Task):
        def __setattr__(self, name: str, value: object) -> None:
            if name.startswith("_whoholds"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    def factory(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, None], **kwargs: Any) -> asyncio.Task[None]:
        asked.append(kwargs)
        return Strict(coro, loop=loop, **kwargs)

    async def there() -> None:
        seen.append(here.current_owner())

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.create_task(there())

    asyncio.run(main())
    assert asked
    assert seen[0].kind == "task"


def test_a_cancelled_task_is_gone() -> None:
    """And one that is only asked to end is not, until it has."""

    async def main() -> None:
        owners = Seen()

        async def waits() -> None:
            owners.here()
            await asyncio.sleep(60)

        one = asyncio.create_task(waits())
        await asyncio.sleep(0)
        one.cancel()
        assert not owners[0].gone()
        await asyncio.gather(one, return_exceptions=True)
        assert owners[0].gone()

    asyncio.run(main())


# --- from tasks to threads --------------------------------------------------------------------------------------


async def runs_in_the_executor(seen: Seen) -> None:
    await asyncio.get_running_loop().run_in_executor(None, seen.here)


async def goes_to_a_thread(seen: Seen) -> None:
    await asyncio.to_thread(seen.here)


@pytest.mark.parametrize("way", [runs_in_the_executor, goes_to_a_thread])
def test_what_a_task_gives_to_a_worker_is_a_job_of_its_line(
    seen: Seen, way: Callable[[Seen], Coroutine[Any, Any, None]]
) -> None:
    """Spawned by that task."""
    asyncio.run(way(seen))
    (owner,) = seen
    assert (owner.kind, line_of(owner)[0], owner.spawn.by.kind) == ("job", way.__name__, "task")


def test_anyios_workers_work_for_the_task_that_awaits(seen: Seen) -> None:
    """They never see a `submit`: what they open is the task's."""
    anyio = needed("anyio")

    async def main() -> None:
        seen.here()
        await anyio.to_thread.run_sync(seen.here)
        seen.here()

    anyio.run(main)
    before, inside, after = seen
    assert before is after is inside.part_of
    assert (inside.kind, inside.name, inside.spawn) == ("task", before.name, before.spawn)
    assert inside.thread.is_worker  # for a connection that the thread keeps for the requests to come
    assert seen[0].kind == "task"


def test_anyios_tasks_know_the_line_that_started_them(seen: Seen) -> None:
    """In a task group."""
    anyio = needed("anyio")

    async def starts_soon() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(seen.there)

    anyio.run(starts_soon)
    assert (seen[0].kind, line_of(seen[0])[0]) == ("task", "starts_soon")


@pytest.mark.parametrize("sensitive", [True, False])
def test_asgirefs_workers_know_the_line_that_awaits(seen: Seen, sensitive: bool) -> None:
    """`sync_to_async`, in the one thread for all and in any."""
    sync = needed("asgiref.sync")

    async def asks_in_sync() -> None:
        await sync.sync_to_async(seen.here, thread_sensitive=sensitive)()

    asyncio.run(asks_in_sync())
    assert line_of(seen[0])[0] == "asks_in_sync"


def test_asgirefs_current_thread_works_for_who_awaits(seen: Seen) -> None:
    """`async_to_sync` around `sync_to_async`: it comes back to the thread that it left."""
    sync = needed("asgiref.sync")

    async def asks_back() -> None:
        await sync.sync_to_async(seen.here)()

    sync.async_to_sync(asks_back)()
    assert (seen[0].kind, line_of(seen[0])[0]) == ("job", "asks_back")


# --- from threads to another thread's loop ----------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop that runs in a thread of its own."""
    loop: asyncio.AbstractEventLoop = needed(request.param).new_event_loop()

    def runs_the_loop() -> None:
        loop.run_forever()

    thread = threading.Thread(target=runs_the_loop)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def all_done(loop: asyncio.AbstractEventLoop) -> None:
    """Wait until the loop has called back all that was handed to it."""
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(10)


def hands_a_coroutine(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    asyncio.run_coroutine_threadsafe(seen.there(), loop).result(10)


def hands_a_callback(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    loop.call_soon_threadsafe(seen.here)


def hands_a_partial(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    loop.call_soon_threadsafe(functools.partial(seen.here))


def hands_the_making_of_a_task(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    loop.call_soon_threadsafe(loop.create_task, seen.there())


def hands_a_callback_that_waits(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    loop.call_soon_threadsafe(loop.call_later, 0.001, seen.here)


HANDS = [
    hands_a_coroutine,
    hands_a_callback,
    hands_a_partial,
    hands_the_making_of_a_task,
    hands_a_callback_that_waits,
]


@pytest.mark.parametrize("hands", HANDS)
def test_what_a_thread_hands_to_a_loop_is_of_its_line(
    loop: asyncio.AbstractEventLoop, seen: Seen, hands: Callable[..., None]
) -> None:
    """Not of the line that started the loop's thread."""
    hands(loop, seen)
    all_done(loop)
    (owner,) = seen
    assert line_of(owner)[0] == hands.__name__
    assert owner.spawn.by is here.current_owner()
    assert owner.kind == ("task" if hands in (hands_a_coroutine, hands_the_making_of_a_task) else "job")


def test_a_task_of_a_callback_is_of_the_callbacks_line(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    """Where the callback is the program's own; a thread that it starts likewise. Both for whoever handed it over."""
    kept: list[object] = []

    def makes() -> None:
        kept.append(asyncio.ensure_future(seen.there()))
        starts_a_thread(seen)

    loop.call_soon_threadsafe(makes)
    all_done(loop)
    assert sorted(line_of(owner)[0] for owner in seen) == ["makes", "starts_a_thread"]
    assert {owner.spawn.by for owner in seen} == {here.current_owner()}


def test_an_eager_task_is_of_the_line_that_handed_it_over(seen: Seen) -> None:
    """Although it runs above the frames that run the loop, which stand in this program."""
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    future = asyncio.run_coroutine_threadsafe(seen.there(), loop)
    future.add_done_callback(lambda _: loop.stop())
    loop.run_forever()
    loop.close()
    assert line_of(seen[0])[0] == "test_an_eager_task_is_of_the_line_that_handed_it_over"


def test_anyios_portal_and_its_workers_know_the_line_that_called(seen: Seen) -> None:
    """A portal is what Starlette's test client calls an application by; and a worker calls back to its loop."""
    from_thread = needed("anyio.from_thread")

    def works() -> None:
        from_thread.run(seen.there)
        from_thread.run_sync(seen.here)

    async def sends() -> None:
        await needed("anyio").to_thread.run_sync(works)

    def calls(portal: Any) -> None:
        portal.call(seen.there)
        portal.call(seen.here)
        portal.start_task_soon(seen.there).result(10)
        portal.call(sends)

    with from_thread.start_blocking_portal() as portal:
        calls(portal)
    assert [line_of(owner)[0] for owner in seen] == ["calls", "calls", "calls", "works", "works"]
    assert [owner.kind for owner in seen] == ["task", "task", "task", "task", "job"]


def test_a_portals_calls_from_another_loop_know_the_line_that_called(seen: Seen) -> None:
    """`call_async` runs what it is given in a context of its own making."""
    anyio = needed("anyio")
    portals = needed("anyio.from_thread")
    if not hasattr(portals.BlockingPortal, "call_async"):
        pytest.skip("came with anyio 4.16")

    async def calls(portal: Any) -> None:
        await portal.call_async(seen.there)

    with portals.start_blocking_portal() as portal:
        anyio.run(calls, portal)
    assert [(owner.kind, line_of(owner)[0]) for owner in seen] == [("task", "calls")]


def test_the_programs_contexts_stay_as_they_are(loop: asyncio.AbstractEventLoop) -> None:
    """A callback has its caller's variables, or those of the context that was given, which gets none of ours."""
    color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")
    colors: list[str] = []
    color.set("red")
    given = contextvars.copy_context()
    given.run(color.set, "blue")
    before = list(contextvars.copy_context().items()), list(given.items())
    loop.call_soon_threadsafe(lambda: colors.append(color.get()))
    loop.call_soon_threadsafe(lambda: colors.append(color.get()), context=given)
    all_done(loop)
    assert colors == ["red", "blue"]
    assert (list(contextvars.copy_context().items()), list(given.items())) == before


def test_a_callback_lives_no_longer(loop: asyncio.AbstractEventLoop) -> None:
    """What waits in the loop for long keeps neither the callback that began it nor who handed that over."""

    class Hands:
        def over(self) -> None:
            waiting.append(loop.call_later(60, int))

    def hands() -> weakref.ref[Hands]:
        here.current_owner()
        one = Hands()
        loop.call_soon_threadsafe(one.over)
        return weakref.ref(one)

    waiting: list[asyncio.TimerHandle] = []
    (kept,) = in_a_thread(hands)
    all_done(loop)
    gc.collect()
    assert waiting
    assert kept() is None


def in_a_thread(call: Callable[[], Any]) -> list[Any]:
    """Give what it returns in a thread that has ended then."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results


def test_a_loop_in_a_worker_of_a_callback_is_the_workers(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    """`to_thread` takes the context of the callback along: what that worker's own loop calls back is of the job."""

    async def calls_back() -> None:
        asyncio.get_running_loop().call_soon(seen.here)
        await asyncio.sleep(0)

    async def sends() -> None:
        asyncio.get_running_loop().call_soon(seen.here)
        await asyncio.sleep(0)
        await asyncio.to_thread(asyncio.run, calls_back())

    asyncio.run_coroutine_threadsafe(sends(), loop).result(10)
    assert [owner.kind for owner in seen] == ["job", "job"]
    assert len({owner.ident for owner in seen}) == 2
    assert line_of(seen[1])[0] == "sends"


# --- bounds -----------------------------------------------------------------------------------------------------


def owners_alive() -> int:
    """Give how many Owners and Spawns there are in memory."""
    gc.collect()
    return sum(type(one) in (Owner, Spawn) for one in gc.get_objects())  # isinstance would wake lazy objects


def test_a_chain_of_ten_thousand_tasks_does_not_grow() -> None:
    """Each starts the next; of its ancestors a task knows a few."""
    before = owners_alive()
    last: list[Owner] = []

    async def link(left: int, done: asyncio.Event) -> None:
        last[:] = [here.current_owner()]
        if left:
            keep.add(following := asyncio.create_task(link(left - 1, done)))
            following.add_done_callback(keep.discard)
        else:
            done.set()

    keep: set[asyncio.Task[None]] = set()

    async def main() -> None:
        done = asyncio.Event()
        await link(10_000, done)
        await done.wait()

    asyncio.run(main())
    depth, owner = 0, last[0]
    while owner.spawn is not None and owner.spawn.by is not None:
        depth, owner = depth + 1, owner.spawn.by
    assert depth <= 8
    assert owners_alive() - before < 30


def test_a_chain_of_threads_does_not_grow() -> None:
    """Nor one in which each job gives the next to an executor of its own."""
    before = owners_alive()
    end = threading.Event()

    def link(left: int) -> None:
        here.current_owner()
        if left % 2:
            threading.Thread(target=link, args=(left - 1,)).start()
        elif left:
            executor = concurrent.futures.ThreadPoolExecutor(1)
            executor.submit(link, left - 1)
            executor.shutdown(wait=False)
        else:
            end.set()

    link(200)
    assert end.wait(30)
    for one in threading.enumerate():
        if one is not threading.main_thread():
            one.join(10)
    assert owners_alive() - before < 40


def test_a_chain_of_callbacks_does_not_grow(loop: asyncio.AbstractEventLoop) -> None:
    """Each hands the next to the loop, in turn as a callback and as a coroutine."""
    before = owners_alive()
    end = threading.Event()
    longest = 0

    def link(left: int) -> None:
        nonlocal longest
        owner = here.current_owner()
        assert owner is not None
        assert owner.spawn is not None
        longest = max(longest, len(owner.spawn.origin))
        if left % 2:
            loop.call_soon_threadsafe(link, left - 1)
        elif left:
            asyncio.run_coroutine_threadsafe(coroutine(left - 1), loop)
        else:
            end.set()

    async def coroutine(left: int) -> None:
        link(left)

    loop.call_soon_threadsafe(link, 2000)
    assert end.wait(30)
    all_done(loop)
    assert longest <= 64
    assert owners_alive() - before < 30


def test_ancestry_is_known_while_it_is_short(seen: Seen) -> None:
    """A job's task's thread: what traces are joined by."""

    def in_thread() -> None:
        asyncio.run(goes_to_a_thread(seen))

    one = threading.Thread(target=in_thread)
    one.start()
    one.join()
    (job,) = seen
    kinds, owner = [], job
    while owner is not None:
        kinds.append(owner.kind)
        owner = owner.spawn.by if owner.spawn else None
    assert kinds == ["job", "task", "thread", "thread"]


# --- others -----------------------------------------------------------------------------------------------------


def test_a_spawn_goes_to_another_process_as_lines() -> None:
    """With a Process that is pickled: code objects stay, and so does whatever was the parent's alone."""
    here = Spawn(at("/srv/shop/report.py:17 build"), Owner("thread", "MainThread", None, 1, None), object(), object())
    there = pickle.loads(pickle.dumps(here))
    frame = Sites().of(there.origin).frame
    assert (frame.file, frame.line, frame.function) == ("/srv/shop/report.py", 17, "build")
    assert (there.by, there.context, there.scope) == (None, None, None)


def test_an_exception_of_the_original_is_the_programs() -> None:
    """A thread started twice, an executor that is shut down, a loop that is closed: the same errors."""
    one = threading.Thread(target=int)
    one.start()
    one.join()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        one.start()
    executor = concurrent.futures.ThreadPoolExecutor()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    loop = asyncio.new_event_loop()
    loop.close()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coroutine)  # noqa: RUF006 - there is none
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon_threadsafe(int)
    with pytest.raises(TypeError, match=r"call_soon_threadsafe\(\) missing 1 required positional argument: 'callback'"):
        loop.call_soon_threadsafe()  # type: ignore[call-arg]
    coroutine.close()


WORLD = """
kept = []
def opens():
    import sqlite3
    kept.append(sqlite3.connect("shop.db", check_same_thread=False))
"""


def test_uvloops_tasks_know_their_lines(tmp_path: Path) -> None:
    """Its loop has a `create_task` of its own."""
    needed("uvloop")
    ran = Programs(tmp_path).run(
        WORLD
        + """
import asyncio, uvloop
async def load():
    opens()
async def main():
    tasks = [asyncio.create_task(load()) for _ in range(3)]
    await asyncio.gather(*tasks)
loop = uvloop.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
    )
    (found,) = ran.of("finding", "left-open")
    assert (found["count"], found["spawned"]["function"]) == (3, "main") or found["spawned"]["function"] == "<listcomp>"
    assert "create_task" in found["spawned"]["source"]


def test_gevents_greenlets_know_their_lines(tmp_path: Path) -> None:
    """Spawned, and as threads under `monkey.patch_all()`; also those that have logged, which makes them Dummies.

    The thread that they run in is known already.
    """
    needed("gevent")
    ran = Programs(tmp_path).run(
        """
from gevent import monkey
monkey.patch_all()
"""
        + WORLD
        + """
import gevent, threading
from whoholds.ledger import here
assert here.current_owner() is here.current_owner()
def logs():
    assert type(threading.current_thread()).__name__ == "_DummyThread"
    opens()
def greens():
    gevent.joinall([gevent.spawn(opens) for _ in range(3)] + [gevent.spawn(logs) for _ in range(2)])
def threads():
    started = [threading.Thread(target=opens) for _ in range(2)]
    for one in started:
        one.start()
    for one in started:
        one.join()
greens()
threads()
gevent.sleep(0.1)
""",
        WHOHOLDS_EVERY="0.02",
    )
    assert ran.code == 0
    told = {(one["spawned"]["function"], one["count"]) for one in ran.of("finding", "left-open")}
    assert {(name.replace("<listcomp>", "greens"), count) for name, count in told} == {("greens", 5), ("threads", 2)}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_a_pool_knows_where_its_pool_was_made(tmp_path: Path, method: str) -> None:
    """`multiprocessing.Pool` and `ProcessPoolExecutor` start their workers themselves."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    ran = Programs(tmp_path).run(
        f"""
import multiprocessing, sqlite3
kept = []
def opens(_):
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
def makes():
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        pool.map(opens, [1])
        pool.close()
        pool.join()
if __name__ == "__main__":
    makes()
"""
    )
    assert ran.code == 0
    (found,) = ran.of("finding", "left-open")
    assert (found["count"], found["spawned"]["function"]) == (2, "makes")


@posix
@pytest.mark.parametrize("first", ["import sqlite3", "gevent.monkey.patch_all()"])
@pytest.mark.parametrize("how", ["os.fork()", "multiprocessing"])
def test_a_child_under_gevent_knows_who_started_it(tmp_path: Path, first: str, how: str) -> None:
    """It gets another main thread from gevent, before or after our own hook; that one has not ended, and is its own."""
    needed("gevent")
    ran = Programs(tmp_path).run(
        f"""
import gevent.monkey
{first}
import multiprocessing, os, sqlite3, sys, time
sqlite3.connect("before.db").close()
gevent.monkey.patch_all()
kept = []
def work():
    for _ in range(2):
        kept.append(sqlite3.connect("shop.db"))
    time.sleep(0.3)
def fork():
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit()
    os.waitpid(pid, 0)
def start():
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
held = sqlite3.connect("before.db")
{"fork" if how == "os.fork()" else "start"}()
held.close()
""",
        WHOHOLDS_EVERY="0.02",
        WHOHOLDS_OWNER_GONE="0.05",
    )
    (found,) = ran.of("finding")
    assert (found["rule"], found["count"], found["owners"]) == ("left-open", 2, ["MainThread"])
    assert found["spawned"]["function"] == ("fork" if how == "os.fork()" else "start")


def test_the_main_thread_has_not_ended_where_gevent_gives_it_another_ident(tmp_path: Path) -> None:
    """Connections that were opened before `monkey.patch_all()` have an owner that runs."""
    needed("gevent")
    ran = Programs(tmp_path).run(
        """
import sqlite3, threading
def work():
    own = [sqlite3.connect("other.db") for _ in range(2)]
    ready.set()
    go_on.wait()
    for connection in own:
        connection.close()
kept = [sqlite3.connect("shop.db") for _ in range(2)]
ready, go_on = threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start()
ready.wait()
import gevent.monkey
gevent.monkey.patch_all()
gevent.sleep(0.3)
go_on.set()
thread.join()
for connection in kept:
    connection.close()
""",
        WHOHOLDS_EVERY="0.02",
        WHOHOLDS_OWNER_GONE="0.05",
    )
    assert ran.findings == []
