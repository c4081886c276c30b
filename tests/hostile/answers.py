"""What the names of a library answer to whoever looks at them: printed as JSON by a process of its own.

`replaced` gives the names that a watch replaces: each function, class and method that is another object once it runs.
`answers` gives for each what introspection, copying and pickling make of it, without addresses.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import json
import pickle
import re
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import types

MODULES = """
sqlite3 sqlite3.dbapi2 psycopg2 psycopg2.extensions psycopg2.extras psycopg2.pool psycopg psycopg.connection
psycopg.connection_async psycopg.cursor psycopg.cursor_async psycopg_pool psycopg_pool.pool psycopg_pool.pool_async
psycopg_pool.base pymysql pymysql.connections pymysql.cursors asyncpg asyncpg.connection asyncpg.pool
asyncpg.connect_utils asyncpg.prepared_stmt asyncpg.cursor aiopg aiopg.connection aiopg.pool aiomysql
aiomysql.connection aiomysql.cursors aiomysql.pool asyncmy asyncmy.connection asyncmy.pool mariadb mariadb.connections
mariadb.cursors mariadb.connectionpool pyodbc aioodbc aioodbc.connection aioodbc.cursor aioodbc.pool aiosqlite aiosqlite.core MySQLdb MySQLdb.connections
MySQLdb.cursors mysql.connector mysql.connector.connection mysql.connector.connection_cext mysql.connector.cursor
mysql.connector.cursor_cext mysql.connector.pooling mysql.connector.abstracts pg8000 pg8000.dbapi pg8000.legacy
pg8000.core sqlalchemy.pool sqlalchemy.pool.base sqlalchemy.pool.impl sqlalchemy.orm.session
sqlalchemy.engine.base apscheduler.job apscheduler.executors.base apscheduler.executors.pool
apscheduler.executors.asyncio django.db.backends.base.base dbutils.pooled_db
dbutils.steady_db dbutils.persistent_db peewee playhouse.pool threading asyncio.base_events asyncio.tasks
concurrent.futures.thread concurrent.futures.process multiprocessing.process os signal _thread
""".split()


def modules() -> list[types.ModuleType]:
    """Give those that are installed here."""
    found = []
    for name in MODULES:
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(name))
    return found


def names() -> dict[str, Any]:
    """Give what stands in each module, and in each class that a module has, by its path."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            found[f"{module.__name__}:{name}"] = value
            if issubclass(type(value), type):  # a lazy object of Django answers isinstance by loading its settings
                for part, inner in vars(value).items():
                    if part not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                        found[f"{module.__name__}:{name}.{part}"] = inner
    return found


def replaced() -> list[str]:
    """Start a watch, and give the names that are other objects since."""
    before = names()
    import whoholds

    whoholds.start(outputs="0")
    changed = [path for path, was in before.items() if attempt(lambda path=path: found(path)) is not was]
    whoholds.stop()
    return sorted(path for path in changed if not isinstance(before[path], dict | list))


def shown(value: object) -> str:
    """Give a text without the addresses in it."""
    return re.sub(r"0x[0-9a-fA-F]+", "0x", str(value))


def attempt(ask: Any) -> Any:
    """Give an answer, or the exception's name."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - that it raises is the answer
        return type(error).__name__


def found(path: str) -> Any:
    """Give what stands at the path now: from a class, as its namespace has it."""
    place, _, name = path.partition(":")
    target: Any = importlib.import_module(place)
    for part in name.split("."):
        target = inspect.getattr_static(target, part)
    return target


def answer(path: str, thing: Any) -> dict[str, Any]:
    """Give all that is asked of one name."""
    body = type("Body", (), {"held": thing})
    said: dict[str, Any] = {
        "type": attempt(lambda: shown(type(thing))),
        "repr": attempt(lambda: shown(repr(thing))),
        "str": attempt(lambda: shown(str(thing))),
        "hash": attempt(lambda: hash(thing) == hash(thing)),
        "equal": attempt(lambda: thing == thing and thing != body),  # noqa: PLR0124 - it is what is asked
        "signature": attempt(lambda: shown(inspect.signature(thing))),
        "help": attempt(lambda: shown(object.__getattribute__(thing, "__doc__"))),  # as `help` asks
        "source": attempt(lambda: inspect.getsource(thing)[:80]),
        "copy": attempt(lambda: copy.copy(thing) is thing),
        "deepcopy": attempt(lambda: copy.deepcopy(thing) is thing),
        "weakref": attempt(lambda: weakref.ref(thing)() is thing),
        "bound": attempt(lambda: type(body().held).__name__),
        "in a class": attempt(lambda: body.held is thing),
    }
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", "__annotations__"):
        said[name] = attempt(lambda name=name: shown(getattr(thing, name)))
    for name in "isbuiltin isfunction ismethod isroutine isclass iscoroutinefunction isgeneratorfunction isasyncgenfunction".split():
        said[name] = getattr(inspect, name)(thing)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        said[f"pickle {protocol}"] = attempt(lambda n=protocol: pickle.loads(pickle.dumps(thing, n)) is thing)
    if isinstance(thing, type):
        said["subclass"] = attempt(lambda: shown(type("Mine", (thing,), {}).__mro__[0]))
        said["own mro"] = [shown(one) for one in dict.fromkeys(map(shown, thing.__mro__))]
        said["names"] = sorted(name for name in dir(thing) if name != "__weakref__")
        said["static"] = attempt(lambda: thing.__basicsize__ > 0)
    return said


def main() -> None:
    """Print what the first argument asks for; `answers` reads the paths from stdin."""
    if sys.argv[1] == "replaced":
        print(json.dumps(replaced()))
    else:
        modules()
        print(json.dumps({path: attempt(lambda path=path: answer(path, found(path))) for path in json.load(sys.stdin)}))


if __name__ == "__main__":
    main()
