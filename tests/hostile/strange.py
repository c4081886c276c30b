"""Programs that do to their own objects what nobody should: each must print with us what it prints without.

A row is a name and a program. It runs in a process of its own, once bare and once with `WHOHOLDS=1`; what it prints,
and its exit code, must be the same. Where it opens a connection to a file, that must have been seen.
"""

from __future__ import annotations

from textwrap import dedent, indent

PROGRAMS: dict[str, str] = {}


def row(name: str, text: str) -> None:
    """Add a program."""
    assert name not in PROGRAMS
    PROGRAMS[name] = dedent(text)


# --- arguments of sqlite3.connect -------------------------------------------------------------------------------------

for kind, given in {"by place": "path", "by keyword": "database=path", "with a keyword": "path, timeout=3"}.items():
    row(
        f"a path that is asked for its name, {kind}",
        f"""
        import sqlite3
        class Path:
            asked = 0
            def __fspath__(self):
                Path.asked += 1
                return "shop.db"
        path = Path()
        connection = sqlite3.connect({given})
        print(Path.asked, connection.execute("select 1").fetchall())
        connection.close()
        """,
    )

row(
    "a path that gives its name once",
    """
    import sqlite3
    class Path:
        names = ["shop.db"]
        def __fspath__(self):
            return self.names.pop()
    connection = sqlite3.connect(Path())
    print(connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "a path that raises, and one that gives no path",
    """
    import sqlite3
    class Raises:
        asked = 0
        def __fspath__(self):
            Raises.asked += 1
            raise LookupError("no name")
    class Number:
        def __fspath__(self):
            return 5
    for wrong in (Raises(), Number(), 5, None, object, b"\\0", "\\0", b"shop\\xff.db", "shop\\udcff.db"):
        try:
            sqlite3.connect(wrong).close()
            print("opened")
        except Exception as error:
            print(type(error).__name__, error)
    print(Raises.asked)
    """,
)
row(
    "uri= whose truth is counted",
    """
    import sqlite3
    class Uri:
        asked = 0
        def __bool__(self):
            Uri.asked += 1
            return True
    connection = sqlite3.connect("file:shop.db?mode=rwc", uri=Uri())
    print(Uri.asked, connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "timeout= and isolation_level= that are counted",
    """
    import sqlite3
    class Number:
        asked = 0
        def __float__(self):
            Number.asked += 1
            return 3.0
        def __index__(self):
            Number.asked += 1
            return 0
    connection = sqlite3.connect("shop.db", timeout=Number(), detect_types=Number(), cached_statements=128)
    print(Number.asked, connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "a str of its own class that cannot be compared",
    """
    import sqlite3
    class Name(str):
        def __eq__(self, other):
            raise LookupError("compared")
        def __hash__(self):
            raise LookupError("hashed")
        def __str__(self):
            raise LookupError("shown")
        __repr__ = __contains__ = startswith = partition = __getitem__ = __len__ = __iter__ = __str__
    class Raw(bytes):
        __eq__, __hash__, __str__, __len__, __getitem__, decode = Name.__eq__, Name.__hash__, *[Name.__str__] * 4
    for name in (Name("shop.db"), Raw(b"shop.db")):
        connection = sqlite3.connect(name)
        print(connection.execute("select 1").fetchall())
        connection.close()
    connection = sqlite3.connect(Name("file:shop.db?mode=rwc"), uri=True)
    print(connection.execute(Name("select 1")).fetchall())
    connection.close()
    """,
)

# --- connections and cursors of the program's own classes ---------------------------------------------------------------

row(
    "a Connection whose __getattribute__ raises for names that it does not know",
    """
    import sqlite3
    KNOWN = {"execute", "cursor", "commit", "close", "__class__", "in_transaction"}
    class Own(sqlite3.Connection):
        def __getattribute__(self, name):
            if name not in KNOWN:
                raise LookupError(name)
            return super().__getattribute__(name)
    connection = sqlite3.connect("shop.db", factory=Own)
    print(connection.execute("select 1").fetchall(), connection.cursor().execute("select 2").fetchall())
    connection.commit()
    connection.close()
    """,
)
row(
    "a Connection that refuses attributes",
    """
    import sqlite3
    class Own(sqlite3.Connection):
        def __setattr__(self, name, value):
            raise LookupError(name)
        def __delattr__(self, name):
            raise LookupError(name)
    connection = sqlite3.connect("shop.db", factory=Own)
    print(connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "a Connection that makes attributes up, and is never equal nor hashed",
    """
    import sqlite3
    class Own(sqlite3.Connection):
        def __getattr__(self, name):
            return lambda *args: 1 / 0
        def __eq__(self, other):
            raise LookupError("compared")
        def __hash__(self):
            raise LookupError("hashed")
        def __repr__(self):
            raise LookupError("shown")
        def __bool__(self):
            raise LookupError("asked")
        def __len__(self):
            raise LookupError("counted")
    connection = sqlite3.connect("shop.db", factory=Own)
    print(connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "a Connection whose constructor raises what counts how often it is shown",
    """
    import sqlite3
    class Wrong(Exception):
        shown = 0
        def __str__(self):
            Wrong.shown += 1
            raise LookupError("shown")
    class Own(sqlite3.Connection):
        def __init__(self, *args):
            raise Wrong(*args)
    sqlite3.connect("shop.db").close()
    try:
        sqlite3.connect("shop.db", factory=Own)
    except Wrong as wrong:
        print(wrong.args, Wrong.shown)
    """,
)
row(
    "a Cursor whose __getattribute__ raises",
    """
    import sqlite3
    class Own(sqlite3.Cursor):
        def __getattribute__(self, name):
            if name not in ("execute", "fetchall", "close", "__class__"):
                raise LookupError(name)
            return super().__getattribute__(name)
    connection = sqlite3.connect("shop.db")
    cursor = connection.cursor(Own)
    print(cursor.execute("select 1").fetchall(), isinstance(cursor, Own))
    cursor.close()
    connection.close()
    """,
)
row(
    "a metaclass that forbids subclasses, and __init_subclass__ that does",
    """
    import sqlite3
    class Meta(type):
        def __new__(cls, name, bases, space):
            if any(type(base) is Meta for base in bases):
                raise TypeError("no subclasses")
            return super().__new__(cls, name, bases, space)
        def __instancecheck__(cls, one):
            raise LookupError("instance")
        def __subclasscheck__(cls, one):
            raise LookupError("subclass")
        def __getattribute__(cls, name):
            if name in ("_whoholds", "cursor", "__subclasses__"):
                raise LookupError(name)
            return super().__getattribute__(name)
    class Own(sqlite3.Connection, metaclass=Meta):
        pass
    class Other(sqlite3.Connection):
        def __init_subclass__(cls):
            raise TypeError("no subclasses")
    for factory in (Own, Other, lambda *a, **k: Other(*a)):
        connection = sqlite3.connect("shop.db", factory=factory)
        print(type(connection).__name__, connection.execute("select 1").fetchall())
        connection.close()
    """,
)
row(
    "factories that are no classes",
    """
    import functools, sqlite3
    class Call:
        def __call__(self, *args, **kwargs):
            return "no connection"
    for factory in (Call(), functools.partial(sqlite3.Connection, timeout=1), lambda *a, **k: None):
        made = sqlite3.connect("shop.db", factory=factory)
        print(type(made).__name__)
        getattr(made, "close", print)()
    for wrong in (5, None, int, "x"):
        try:
            print(type(sqlite3.connect("shop.db", factory=wrong)))
        except Exception as error:
            print(type(error).__name__, error)
    """,
)
row(
    "copies, reprs and pickles of connect",
    """
    import copy, inspect, pickle, sqlite3, weakref
    connect = sqlite3.connect
    print(copy.copy(connect) is connect, copy.deepcopy(connect) is connect, copy.deepcopy([connect])[0] is connect)
    print(repr(connect), connect.__module__, connect.__qualname__, type(connect), inspect.isbuiltin(connect))
    print(pickle.loads(pickle.dumps(connect)) is connect, pickle.dumps(connect), weakref.ref(connect)() is connect)
    class Held:
        held = connect
        method = staticmethod(connect)
    for one in (Held.held, Held().held, Held.method, Held().method):
        connection = one("shop.db")
        print(type(connection), one is connect)
        connection.close()
    try:
        connect.mine = 1
    except AttributeError as error:
        print(error)
    """,
)

# --- threads, tasks, executors ----------------------------------------------------------------------------------------


def filled(template: str, **parts: str) -> str:
    """Give the dedented template with each NAME that stands alone on a line replaced by its part, indented alike."""
    lines = []
    for line in dedent(template).splitlines():
        part = parts.get(line.strip())
        lines.append(line if part is None else indent(dedent(part).strip("\n"), line[: len(line) - len(line.lstrip())]))
    return "\n".join(lines) + "\n"


OPENS = """
connection = sqlite3.connect("shop.db")
print(connection.execute("select 1").fetchall())
connection.close()
"""

THREADS = {
    "a __getattr__ that raises": "def __getattr__(self, name): raise LookupError(name)",
    "a __getattribute__ that raises for names that are not its own": """
        def __getattribute__(self, name):
            if "whoholds" in name:
                raise LookupError(name)
            return super().__getattribute__(name)
    """,
    "a __setattr__ that refuses names": """
        def __setattr__(self, name, value):
            if "whoholds" in name:
                raise TypeError(name)
            super().__setattr__(name, value)
    """,
    "attributes that are frozen once it is made": """
        frozen = False
        def __init__(self):
            super().__init__()
            self.frozen = True
        def __setattr__(self, name, value):
            if self.frozen and not name.startswith("_") or "whoholds" in name:
                raise TypeError(name)
            super().__setattr__(name, value)
    """,
    "an == that raises": """
        def __eq__(self, other):
            raise LookupError("compared")
        __hash__ = threading.Thread.__hash__
    """,
    "a name that raises": "name = property(lambda self: 1 / 0)",
    "a name that is no text": "name = property(lambda self: [1])",
    "a __repr__ that raises": "def __repr__(self): raise LookupError('shown')",
}
for how, members in THREADS.items():
    row(
        f"a Thread with {how}",
        filled(
            """
            import sqlite3, threading
            class Own(threading.Thread):
                MEMBERS
                def run(self):
                    try:
                        OPENS
                    except BaseException as error:
                        print(type(error).__name__, error)
            thread = Own()
            threading.Thread.start(thread)
            threading.Thread.join(thread)
            """,
            MEMBERS=members,
            OPENS=OPENS,
        ),
    )

TASKS = {
    "no get_name": "get_name = property(lambda self: (_ for _ in ()).throw(AttributeError('get_name')))",
    "a get_name that raises": "def get_name(self): raise LookupError('name')",
    "a done that raises": "def done(self): raise LookupError('done')",
    "a get_coro that raises": "def get_coro(self): raise LookupError('coro')",
    "a __setattr__ that refuses": "def __setattr__(self, name, value): raise TypeError(name)",
    "a __getattribute__ that raises": """
        def __getattribute__(self, name):
            if "whoholds" in name or name in ("get_name", "get_coro", "get_stack"):
                raise LookupError(name)
            return super().__getattribute__(name)
    """,
}
for how, members in TASKS.items():
    row(
        f"a task with {how}",
        filled(
            """
            import asyncio, sqlite3
            class Own(asyncio.tasks._PyTask):
                MEMBERS
            async def work():
                await asyncio.sleep(0)
                OPENS
                return "done"
            loop = asyncio.new_event_loop()
            loop.set_task_factory(lambda loop, coro, **more: Own(coro, loop=loop))
            ended = []
            task = loop.create_task(work())
            asyncio.Future.add_done_callback(task, lambda one: loop.stop())
            loop.run_forever()
            print(asyncio.Future.result(task))
            loop.close()
            """,
            MEMBERS=members,
            OPENS=OPENS,
        ),
    )

row(
    "an executor whose attributes raise in the worker",
    filled(
        """
        import sqlite3, threading
        from concurrent.futures import ThreadPoolExecutor
        class Own(ThreadPoolExecutor):
            @property
            def _max_workers(self):
                if threading.current_thread() is not threading.main_thread():
                    raise LookupError("workers")
                return 1
            @_max_workers.setter
            def _max_workers(self, value):
                pass
        def work():
            OPENS
            return "done"
        with Own(1) as executor:
            print(executor.submit(work).result(10))
        """,
        OPENS=OPENS,
    ),
)
row(
    "callables and arguments of a submit that raise at every question",
    """
    import sqlite3
    from concurrent.futures import ThreadPoolExecutor
    class Call:
        def __getattr__(self, name):
            raise LookupError(name)
        def __eq__(self, other):
            raise LookupError("compared")
        __hash__ = None
        def __call__(self, *args, **kwargs):
            connection = sqlite3.connect("shop.db")
            try:
                return connection.execute("select 1").fetchall()
            finally:
                connection.close()
        def __repr__(self):
            raise LookupError("shown")
    with ThreadPoolExecutor(1) as executor:
        print(executor.submit(Call(), Call(), one=Call()).result(10))
        print(list(executor.map(Call(), [Call(), Call()])))
    """,
)

# --- what stands in sys.modules and sys.meta_path ------------------------------------------------------------------------

row(
    "modules and finders that raise at every question",
    """
    import sys, types
    class Raises:
        def __getattribute__(self, name):
            raise LookupError(name)
        def __eq__(self, other):
            raise LookupError("compared")
        __hash__ = None
    class Module(types.ModuleType):
        def __getattribute__(self, name):
            raise LookupError(name)
    class Finder:
        def find_spec(self, *args):
            return None
        def __eq__(self, other):
            raise LookupError("compared")
        __hash__ = None
        def __bool__(self):
            raise LookupError("asked")
    sys.modules["raises"], sys.modules["own"] = Raises(), Module("own")
    sys.meta_path[:0] = [Finder()]
    sys.meta_path.append(Finder())
    import sqlite3
    connection = sqlite3.connect("shop.db")
    print(connection.execute("select 1").fetchall())
    connection.close()
    """,
)
row(
    "a module that is loaded when it is first asked",
    """
    import importlib.util, sys
    def lazy(name):
        spec = importlib.util.find_spec(name)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    sqlite3, other = lazy("sqlite3"), lazy("wave")
    print("sqlite3.dbapi2" in sys.modules, type(other).__name__)
    connection = sqlite3.connect("shop.db")
    print(connection.execute("select 1").fetchall(), "sqlite3.dbapi2" in sys.modules)
    object.__getattribute__(other, "__dict__")["__name__"]
    print(type(other).__name__, hasattr(other, "Wave_read"), type(other).__name__)
    connection.close()
    """,
)
row(
    "a module whose import goes on while a watch begins",
    """
    import pathlib, sys
    pathlib.Path("shoplib.py").write_text("import sqlite3\\nconnection = sqlite3.connect('shop.db')\\nspec = __spec__\\n")
    import shoplib
    print(type(shoplib.spec).__name__, type(shoplib.__loader__).__name__, shoplib.spec is shoplib.__spec__)
    print([type(one).__name__ for one in sys.meta_path if "whoholds" not in type(one).__module__])
    shoplib.connection.close()
    """,
)

# --- streams and logging -------------------------------------------------------------------------------------------------

LEAKS = """
import sqlite3
kept = [sqlite3.connect("shop.db") for _ in range(3)]
"""
STREAMS = {
    "closed": "sys.stderr.close()",
    "gone": "sys.stderr = None",
    "deleted": "del sys.stderr",
    "a stream that raises": """
        class Raises:
            def __getattribute__(self, name):
                raise LookupError(name)
        sys.stderr = Raises()
    """,
    "a stream that exits": """
        class Exits:
            encoding = property(lambda self: 1 / 0)
            def write(self, text):
                raise OSError("no")
            def flush(self):
                raise OSError("no")
        sys.stderr = Exits()
    """,
    "a strict stream in ASCII": """
        import io
        sys.stderr = io.TextIOWrapper(open("own.log", "wb"), encoding="ascii")
    """,
}
for how, text in STREAMS.items():
    row(f"stderr is {how}", filled("import sys\nSTREAM\nLEAKS\nprint('done')", STREAM=text, LEAKS=LEAKS))

LOGGING = {
    "a handler that raises": """
        class Own(logging.Handler):
            def handle(self, record):
                raise LookupError("handled")
        logging.getLogger().addHandler(Own())
    """,
    "a filter that raises": "logging.getLogger('whoholds').addFilter(lambda record: 1 / 0)",
    "a record factory that raises": "logging.setLogRecordFactory(lambda *a, **k: 1 / 0)",
    "a logger class that raises": """
        class Own(logging.Logger):
            def hasHandlers(self):
                raise LookupError("asked")
        logging.setLoggerClass(Own)
    """,
    "logging that is disabled": "logging.disable(logging.CRITICAL)",
}
for how, text in LOGGING.items():
    row(f"logging has {how}", filled("import logging\nLOGGING\nLEAKS\nprint('done')", LOGGING=text, LEAKS=LEAKS))

# --- the interpreter -----------------------------------------------------------------------------------------------------

row(
    "the edge of the recursion limit",
    """
    import sqlite3, sys
    connection = sqlite3.connect("shop.db")
    def down(n):
        try:
            return down(n + 1)
        except RecursionError:
            return n
    print(down(0) > 100, connection.execute("select 1").fetchall())
    def deep(n):
        if n:
            return deep(n - 1)
        return connection.execute("select 2").fetchall()
    print(deep(800))
    connection.close()
    """,
)
row(
    "settrace and setprofile that count the program's own frames",
    """
    import sqlite3, sys
    seen = []
    def trace(frame, event, arg):
        if frame.f_code.co_filename == __file__ and event in ("call", "return"):
            seen.append((event, frame.f_code.co_name))
        return trace
    def work():
        connection = sqlite3.connect("shop.db")
        rows = connection.execute("select 1").fetchall()
        connection.close()
        return rows
    sys.settrace(trace)
    work()
    sys.settrace(None)
    sys.setprofile(trace)
    work()
    sys.setprofile(None)
    print(seen)
    """,
)
row(
    "connections in finalizers, atexit handlers and daemon threads",
    """
    import atexit, sqlite3, threading
    class Closes:
        def __init__(self):
            self.connection = sqlite3.connect("shop.db")
        def __del__(self):
            self.connection.close()
    kept = Closes()
    cycle = Closes()
    cycle.me = cycle
    @atexit.register
    def last():
        connection = sqlite3.connect("shop.db")
        print("last", connection.execute("select 1").fetchall())
        connection.close()
    started = threading.Event()
    def daemon():
        connection = sqlite3.connect("shop.db", check_same_thread=False)
        started.set()
        threading.Event().wait()
    threading.Thread(target=daemon, daemon=True).start()
    started.wait()
    del cycle
    print("end")
    """,
)
row(
    "two sub-interpreters",
    """
    import sqlite3, sys
    if sys.version_info[:2] == (3, 12):
        raise SystemExit  # 3.12.1 itself crashes once a sub-interpreter has imported functools or asyncio
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    text = "import sqlite3; c = sqlite3.connect('shop.db'); print(c.execute('select 1').fetchall(), flush=True); c.close()"
    for _ in range(2):
        one = interpreters.create()
        (getattr(interpreters, "run_string"))(one, text)
        interpreters.destroy(one)
    connection = sqlite3.connect("shop.db")
    connection.close()
    """,
)
row(
    "code whose file has a name that cannot be encoded, and a FIFO's",
    """
    import os, sqlite3
    os.mkfifo("pipe")
    for name in ("pipe", "no\\ud800pe.py", "a\\nb.py", "<string>", ""):
        space = {"sqlite3": sqlite3}
        exec(compile("kept = [sqlite3.connect('shop.db') for _ in range(2)]", name, "exec"), space)
        for one in space["kept"]:
            one.close()
    print("done")
    """,
)

OPTIONS: dict[str, list[str]] = {
    "-O": ["-O"],
    "-OO": ["-OO"],
    "-I": ["-I"],
    "-E -s": ["-E", "-s"],
    "-S": ["-S"],
    "-b": ["-b"],
    "-bb": ["-bb"],
    "-W error": ["-W", "error"],
    "-X dev": ["-X", "dev"],
    "-X importtime": ["-X", "utf8"],
}
PLAIN = f"""
import sys
{OPENS.replace(chr(10), chr(10)).strip().replace("connection = ", "import sqlite3; connection = ", 1)}
print(sys.flags.optimize, sys.warnoptions)
"""
