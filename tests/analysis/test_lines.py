"""Which line a stack is told by, and what its function is called: the same on every Python."""

from __future__ import annotations

import ntpath
import os
import posixpath
import subprocess
import sys
import types
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import whoholds
from tests.worlds import World
from whoholds.analysis import blame
from whoholds.analysis.blame import is_below, is_users, kind_at, never_blame, user_index
from whoholds.analysis.bringing import with_its_start
from whoholds.analysis.cells import cell_of
from whoholds.analysis.chains import own_frames
from whoholds.analysis.frames import Frame, frames
from whoholds.analysis.sites import Sites
from whoholds.ledger.database import Database
from whoholds.ledger.handle import CONNECTION
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.origin import capture, capture_own, from_lines, function_at, shared
from whoholds.ledger.owner import Owner, Spawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from whoholds.ledger.origin import Origin

LIBRARIES = "/srv/venv/lib/python3.11/site-packages"
STDLIB = os.path.dirname(os.__file__)


def here() -> Origin:
    """Give the stack of whoever calls."""
    frame: FrameType | None = sys._getframe(1)
    return capture(frame, 32)


class Cars:
    """Asks in every way in which a function has no name of its own."""

    def by_list(self) -> Origin:
        """Ask in a list comprehension."""
        return [here() for _ in range(1)][0]  # noqa: RUF015 - the comprehension is the test

    def by_dict(self) -> Origin:
        """Ask in a dict comprehension."""
        return {number: here() for number in range(1)}[0]

    def by_set(self) -> Origin:
        """Ask in a set comprehension."""
        return {here() for _ in range(1)}.pop()

    def by_generator(self) -> Origin:
        """Ask in a generator expression, which C code drives."""
        return max(here() for _ in range(1))

    def by_lambda(self) -> Origin:
        """Ask in a lambda inside a comprehension."""
        return [(lambda: here())() for _ in range(1)][0]  # noqa: PLC3002, PLW0108, RUF015 - likewise


@pytest.mark.parametrize("name", ["by_list", "by_dict", "by_set", "by_generator", "by_lambda"])
def test_a_nameless_function_goes_by_the_named_one_around_it(name: str) -> None:
    """A fingerprint that was written on 3.10 fits on 3.14, and an ignore rule names the function that people see."""
    origin = getattr(Cars(), name)()
    assert Sites().of(origin).frame.function == name


def test_a_comprehension_at_a_modules_top_goes_by_the_module() -> None:
    """It is in no function."""
    names: dict[str, object] = {"here": here}
    exec(compile("origin = [here() for _ in range(1)][0]", "/srv/shop/cars.py", "exec"), names)  # noqa: S102
    origin: Origin = names["origin"]  # type: ignore[assignment]
    assert function_at(origin, 0) == "<module>"


def test_without_qualified_names_the_frame_around_it_is_looked_for_on_the_stack() -> None:
    """Python 3.10's code objects have none; a frame that another process remembered has none either."""
    inner, between, outer = (
        from_lines([("/srv/shop/cars.py", line, name)])[0]
        for line, name in ((4, "<listcomp>"), (9, "retry"), (3, "load_cars"))
    )
    assert isinstance(outer, types.CodeType)
    outer = outer.replace(co_consts=(None, inner))
    assert function_at((inner, -4, between, -9, outer, -3), 0) == "load_cars"
    assert function_at((inner, -4, between, -9), 0) == "retry"
    assert function_at((inner, -4), 0) == "<module>"


def deep_library(levels: int) -> Callable[[Callable[[], object]], object]:
    """Give a function of the standard library, as far as its file tells, that calls so deep."""
    names: dict[str, object] = {}
    text = "def deep(call, levels):\n    return deep(call, levels - 1) if levels else call()\n"
    exec(compile(text, os.path.join(STDLIB, "deep.py"), "exec"), names)  # noqa: S102
    deep: Callable[[Callable[[], object], int], object] = names["deep"]  # type: ignore[assignment]
    return lambda call: deep(call, levels)


def in_library(call: str, **names: object) -> Callable[[], object]:
    """Give a function that does `call` in a file of the standard library."""
    exec(compile(f"def ask():\n    return {call}\n", os.path.join(STDLIB, "asking.py"), "exec"), names)  # noqa: S102
    return names["ask"]  # type: ignore[return-value]


@pytest.mark.parametrize("levels", [10, 31, 32, 60, 150])
def test_the_programs_own_frame_is_found_below_many_of_libraries(levels: int) -> None:
    """Thirty-two frames may hold nothing but libraries: Django's admin alone has as many."""
    ledger = Ledger()
    ask = in_library(
        "ledger.opened('connection', 'sqlite3', database, None, sys._getframe())",
        ledger=ledger,
        sys=sys,
        database=Database("sqlite", name="shop.db"),
    )
    deep_library(levels)(ask)
    (handle,) = ledger.peek()
    assert handle.kind == CONNECTION
    own = Sites().of(handle.origin).frame
    # the lambda at its end; on 3.10 a lambda does not say whose it is: the named function around it on the stack does
    here = test_the_programs_own_frame_is_found_below_many_of_libraries.__name__
    assert (own.file, own.function) == (__file__, "deep_library" if sys.version_info >= (3, 11) else here)
    assert len(handle.origin) <= 2 * (32 + 8)


def test_a_stack_with_a_frame_of_the_programs_own_is_kept_as_it_always_was() -> None:
    """Nobody walks on where the line is known."""

    def deep(levels: int) -> tuple[Origin, Origin]:
        if levels:
            return deep(levels - 1)
        frame = sys._getframe()
        return capture(frame, 32), capture_own(frame, 32)

    plain, own = deep(50)
    assert len(plain) == len(own) == 2 * 32
    assert plain[0] is own[0]


def test_without_a_frame_of_the_programs_own_the_nearest_that_is_not_of_the_database_layer_is_named() -> None:
    """A page of Django's admin under gunicorn: the session's backend asks, not psycopg, nor the server's loop."""
    never_blame("django", ("django/db/", "django/utils/"))
    never_blame("psycopg")
    stack = [
        (f"{LIBRARIES}/psycopg/_connection_base.py", 440, "_connect_gen"),
        (f"{LIBRARIES}/django/utils/asyncio.py", 26, "inner"),
        (f"{LIBRARIES}/django/db/models/query.py", 91, "__iter__"),
        (f"{LIBRARIES}/django/contrib/sessions/backends/db.py", 34, "_get_session_from_db"),
        (f"{LIBRARIES}/django/contrib/admin/sites.py", 442, "index"),
        (f"{LIBRARIES}/gunicorn/workers/gthread.py", 310, "handle"),
        (f"{STDLIB}/threading.py", 1045, "_bootstrap_inner"),
    ]
    frame = Sites(source=False).of(from_lines(stack)).frame
    assert (frame.function, frame.line) == ("_get_session_from_db", 34)


@pytest.mark.parametrize(
    ("frames", "entered"),
    [
        pytest.param(
            [
                (f"{LIBRARIES}/psycopg/_connection_base.py", 440, "_connect_gen"),
                (f"{LIBRARIES}/django/db/backends/base/base.py", 279, "ensure_connection"),
                (f"{LIBRARIES}/django/db/models/query.py", 606, "count"),
                (f"{LIBRARIES}/asgiref/sync.py", 635, "thread_handler"),
            ],
            ("django/db/models/query.py", "count"),
            id="await queryset.acount()",
        ),
        pytest.param(
            [
                (f"{LIBRARIES}/psycopg/_connection_base.py", 440, "_connect_gen"),
                (f"{LIBRARIES}/psycopg/connection.py", 109, "connect"),
            ],
            ("psycopg/connection.py", "connect"),
            id="to_thread(psycopg.connect)",
        ),
    ],
)
def test_in_a_thread_that_was_given_a_librarys_function_that_function_is_named(
    frames: list[tuple[str, int, str]], entered: tuple[str, str]
) -> None:
    """Nothing of the program is in that thread; the driver's innermost function is the same for every connection."""
    never_blame("django", ("django/db/", "django/utils/"))
    for package in ("psycopg", "asgiref"):
        never_blame(package)
    stack = [
        *frames,
        (f"{STDLIB}/concurrent/futures/thread.py", 58, "run"),
        (f"{STDLIB}/threading.py", 1045, "_bootstrap_inner"),
    ]
    frame = Sites(source=False).of(from_lines(stack)).frame
    assert (frame.file.removeprefix(f"{LIBRARIES}/"), frame.function) == entered


@pytest.mark.parametrize(
    ("starters", "named"),
    [
        ([("locust/user/users.py", 208, "start"), ("locust/runners.py", 231, "spawn_users")], "locust/user/users.py"),
        ([("gevent/baseserver.py", 34, "_handle_and_close_when_done")], "gevent/pool.py"),
    ],
    ids=["a library that uses gevent's pool", "gevent's own server"],
)
def test_gevents_pool_starts_greenlets_as_asyncio_starts_tasks(
    starters: list[tuple[str, int, str]], named: str
) -> None:
    """Its line is the same for every greenlet; it is named where no other library's line is there."""
    stack = [(f"{LIBRARIES}/{file}", line, name) for file, line, name in (("gevent/pool.py", 392, "spawn"), *starters)]
    assert Sites(source=False).of(from_lines(stack)).frame.file == f"{LIBRARIES}/{named}"


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
from whoholds.analysis.frames import frame_at
from whoholds.ledger.origin import capture
import sys
shell = InteractiveShell.instance()
shell.user_ns.update(capture=capture, sys=sys)
shell.run_cell("number = 1", store_history=True)
shell.run_cell("def ask():\\n    return capture(sys._getframe(), 1)\\nmade = ask()", store_history=True)
print(frame_at(shell.user_ns["made"], 0).place)
"""


def test_a_cell_is_shown_as_the_notebook_shows_it() -> None:
    """Not by the temporary name that it was compiled under."""
    pytest.importorskip("IPython")
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1:] == ["Cell In[2], line 2"], done.stderr


def test_a_cells_number_is_that_of_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the shell that runs here; any other file is shown by its path."""
    shell = types.SimpleNamespace(compile=types.SimpleNamespace(_filename_map={"/tmp/ipykernel_1/7.py": 3}))  # noqa: S108
    module = types.SimpleNamespace(InteractiveShell=types.SimpleNamespace(_instance=shell))
    monkeypatch.setitem(sys.modules, "IPython.core.interactiveshell", module)  # type: ignore[arg-type]
    assert Frame("/tmp/ipykernel_1/7.py", 2, "<module>", "").place == "Cell In[3], line 2"  # noqa: S108
    assert cell_of("/srv/shop/cars.py") == ""


def test_copies_of_a_file() -> None:
    """Two files with the same text have equal code objects: each stack keeps the lines of its own file."""
    calls = []
    for file in ("/srv/shop/cars.py", "/srv/shop/bikes.py"):
        names: dict[str, Callable[[], Origin]] = {"here": here}  # type: ignore[dict-item]
        exec(compile("def load():\n    return here_in_a_library()", file, "exec"), names)  # noqa: S102 - as an import
        names["here_in_a_library"] = here_in_a_library
        calls.append(names["load"])
    sites = Sites()
    origins = [call() for _ in range(2) for call in calls]
    assert origins[0] == origins[1]
    for share in (shared, lambda origin: sites.shared(origin)[0]):
        got = [share(origin) for origin in origins]
        assert [origin[2].co_filename for origin in got] == ["/srv/shop/cars.py", "/srv/shop/bikes.py"] * 2  # type: ignore[union-attr]


def here_in_a_library() -> Origin:
    """Give the stack of whoever calls, with this function's frame on it."""
    return here()


def _task(spawned: Origin, by: Owner | None = None) -> Owner:
    return Owner("task", "Task-2", None, 0, Spawn(spawned, by))


def test_a_task_that_runs_the_librarys_code_alone_goes_on_with_the_call_that_started_it() -> None:
    """And not with the line that runs the event loop; a task of the program's stays as it is, and nothing comes twice."""
    connect = from_lines([(f"{LIBRARIES}/asyncpg/connection.py", 1, "connect")])
    loop = from_lines([(f"{STDLIB}/asyncio/events.py", 80, "_run"), ("/srv/shop/app.py", 9, "<module>")])
    gather = from_lines([(f"{STDLIB}/asyncio/tasks.py", 7, "gather"), ("/srv/shop/cars.py", 3, "load_cars")])
    ours = from_lines([("/srv/shop/cars.py", 5, "price_of")])
    whole = with_its_start(connect + loop, _task(gather))
    assert whole == connect + gather + loop
    assert with_its_start(whole, _task(gather)) == whole
    assert with_its_start(connect + ours + loop, _task(gather)) == connect + ours + loop
    by_a_library = _task(from_lines([(f"{LIBRARIES}/databases/core.py", 4, "connect")]))
    assert with_its_start(connect + loop, by_a_library) == connect + loop
    assert by_a_library.spawn is not None
    between = by_a_library.spawn.origin
    assert with_its_start(connect + loop, _task(between, _task(gather))) == connect + between + gather + loop


def _job(spawned: Origin) -> Owner:
    return Owner("job", "asyncio_0", None, 0, Spawn(spawned, None))


def test_a_job_that_was_given_a_librarys_function_goes_on_with_the_call_that_gave_it() -> None:
    """`to_thread(connect)`; a library's frame is passed where the program gave the job, and not where a server did."""
    never_blame("psycopg")
    executor = [(f"{STDLIB}/concurrent/futures/thread.py", 58, "run"), (f"{STDLIB}/threading.py", 1045, "_bootstrap")]
    connect = from_lines([(f"{LIBRARIES}/psycopg/connection.py", 1, "connect"), *executor])
    execute = from_lines([(f"{LIBRARIES}/sessions/backends/db.py", 34, "load"), *executor])
    ours = from_lines([("/srv/shop/cars.py", 3, "load_cars"), *executor])
    to_thread = from_lines([(f"{STDLIB}/asyncio/threads.py", 25, "to_thread"), ("/srv/shop/cars.py", 9, "main")])
    server = from_lines([(f"{LIBRARIES}/waitress/task.py", 4, "start"), ("/srv/shop/app.py", 2, "<module>")])
    for given in (connect, execute):
        assert Sites(source=False).of(with_its_start(given, _job(to_thread))).frame.line == 9
    assert with_its_start(execute, _job(server)) == execute
    assert with_its_start(ours, _job(to_thread)) == ours


def test_a_line_of_whoholds_is_never_named() -> None:
    """Where C code alone stands between our wrapper and the thread, the executor's line is named."""
    wrapper = (os.path.join(os.path.dirname(whoholds.__file__), "drivers", "sqlite.py"), 9, "connect")
    frames = [wrapper, (f"{STDLIB}/concurrent/futures/thread.py", 58, "run")]
    assert Sites(source=False).of(from_lines(frames)).frame.function == "run"


def test_where_whoholds_alone_is_on_the_stack_the_line_is_not_known() -> None:
    """A thread of C code that was given `sqlite3.connect` has no frame but that of our wrapper."""
    world = World()
    wrapper = os.path.join(os.path.dirname(whoholds.__file__), "drivers", "sqlite.py")
    handles = [world.opens(f"{wrapper}:9 connect") for _ in range(2)]
    world.look()
    assert [(handle.site, handle.origin) for handle in handles] == [(None, ())] * 2


@pytest.mark.parametrize("typed", ["bin", "./bin", "here/../bin", "bin/."])
def test_a_script_beside_the_interpreter_is_a_librarys_however_its_path_was_typed(typed: str) -> None:
    """`./venv/bin/celery` has the dot in the name of its file, and calls the program: it is not the program."""
    file = os.path.join(sys.prefix, *typed.split("/"), "celery")
    assert blame.kind_of(file) == blame.WATCHED
    assert blame.library_path(file) == "bin/celery"
    assert is_users(os.path.join(sys.prefix, "bin", "..", "app.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_script_beside_the_interpreter_is_a_librarys_by_the_name_of_a_link_too(tmp_path: Path) -> None:
    """A release is started as /srv/shop/current/venv/bin/celery, and its script names the interpreter elsewhere."""
    (tmp_path / "current").symlink_to(sys.prefix)
    script = str(tmp_path / "current" / "bin" / "celery")
    ask = "import sys; from whoholds.analysis.blame import library_path; print(library_path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", ask, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["bin/celery"], done.stderr


BUNDLED = [
    ("whoholds/drivers/kit.py", blame.WATCHED),
    ("psycopg2/__init__.py", blame.WATCHED),
    ("threading.py", blame.WATCHED),
    ("concurrent/futures/thread.py", blame.WATCHED),
    ("app.py", 0),
    ("shop/cars.py", 0),
]


@pytest.mark.parametrize(("file", "kind"), BUNDLED)
def test_a_bundled_application_is_told_from_its_libraries(
    file: str, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyInstaller compiles each module with its path from the top of its package."""
    never_blame("psycopg2")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(blame, "_kinds", {})
    monkeypatch.setattr(blame, "_paths", {})
    assert blame.kind_of(file) == kind
    assert blame.is_ours(file) == file.startswith("whoholds/")


def test_windows_compares_names_without_capitals_and_slashes() -> None:
    """An environment that was entered with other capitals is no code of the user's; elsewhere capitals count."""
    folder = "C:\\Python313\\Lib\\"
    for file in (r"C:\Python313\Lib\threading.py", r"c:\python313\lib\threading.py", "C:/Python313/lib/threading.py"):
        assert is_below(file, folder, path=ntpath)
    assert not is_below(r"C:\Python313\Library\app.py", folder, path=ntpath)
    assert not is_below("/usr/LIB/threading.py", "/usr/lib/", path=posixpath)
    assert is_below("/usr/lib/threading.py", "/usr/bin/", "/usr/lib/", path=posixpath)


CONNECTS = f"{LIBRARIES}/drivers/connecting.py"
SESSION = f"{LIBRARIES}/mapper/session.py"
UNIT = f"{LIBRARIES}/mapper/unit.py"


@pytest.mark.parametrize(
    "compiled",
    [
        [("<string>", 2, "begin"), (SESSION, 5, "begin")],  # named as the function that it calls
        [(UNIT, 7, "flush"), ("<string>", 3, "helper"), (SESSION, 5, "begin")],  # between frames of one library
        [(UNIT, 7, "flush"), ("<string>", 3, "one"), ("<string>", 3, "other"), (SESSION, 5, "begin")],
        [("<decorator-gen-3>", 2, "begin")],
        [("<mapper.session generated begin>", 2, "begin")],
    ],
)
def test_what_a_library_compiled_from_a_string_is_no_line_of_the_programs(compiled: list[tuple[str, int, str]]) -> None:
    """Not for the line to name, for the program's own frames, nor in the stack that a report shows."""
    origin = from_lines([(CONNECTS, 1, "begin"), *compiled, ("/srv/shop/cars.py", 4, "load")])
    last = len(origin) - 2
    assert user_index(origin) == last
    assert [place for place in own_frames(origin) if not kind_at(origin, place)] == [last]
    assert [frame.function for frame in frames(origin, source=False) if is_users(frame.file)] == ["load"]


@pytest.mark.parametrize(
    "stack",
    [
        [("<string>", 3, "load")],  # between two libraries
        [("<string>", 3, "load"), ("<string>", 9, "<module>")],  # a callback of `python -c`
        [("<ipython-input-3-a>", 3, "load"), (SESSION, 5, "begin")],
        [("<timeit-src>", 6, "load"), (SESSION, 5, "begin")],
    ],
)
def test_text_that_the_program_runs_is_named(stack: list[tuple[str, int, str]]) -> None:
    """Whatever library ran it."""
    origin = from_lines([(CONNECTS, 1, "connect"), *stack, (f"{LIBRARIES}/tasks/running.py", 1, "run")])
    assert function_at(origin, user_index(origin)) == "load"
    assert is_users(frames(origin, source=False)[1].file)


def test_a_dataclass_that_connects_is_made_at_the_programs_line() -> None:
    """`field(default_factory=connect)`: the constructor is compiled from a string, in the program's own globals."""

    @dataclass
    class Shop:
        origin: Any = field(default_factory=partial(partial, here))  # no frame of the program's, as of a library

    constructor = Shop.__init__.__code__
    at = from_lines([(CONNECTS, 1, "connect"), ("/srv/shop/cars.py", 4, "load")])
    origin = (*at[:2], constructor, 0, *at[2:])
    assert constructor.co_filename == "<string>"
    assert user_index(origin) == len(origin) - 2
    assert frames(origin, source=False)[1].file == "<dataclasses generated __init__>"
