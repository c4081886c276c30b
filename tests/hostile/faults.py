"""Every function of ours that runs in a program's threads raises in turn: the program must not notice.

Found by tracing, not by a list. Each trial is a forked child in which one function's code does nothing but raise; what
the program says there, and how it ends, is held against what it says without whoholds.
"""

from __future__ import annotations

import ast
import builtins
import functools
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile import hosts
from tests.hostile.programs import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType

PATIENCE_S = 30.0  # for one trial; a program waits 10 s at most for any of its own
_ASYNC, _GENERATOR = 0x80, 0x20
# What stands in the place of somebody else's function without `__wrapped__`: an import system's finder and loader, and
# an object in the place of a builtin.
THE_CALL_ITSELF = (
    ("hooks/imports.py", "find_spec"),
    ("hooks/imports.py", "create_module"),
    ("hooks/imports.py", "exec_module"),
    ("hooks/imports.py", "__getattr__"),
    ("hooks/stand_ins.py", "__eq__"),
    ("hooks/forks.py", "guarded"),  # the call that forks
    ("drivers/sqlite.py", "make"),  # a cursor, made by the library's own function
    ("drivers/_importlib_bootstrap/proxy_calls.py", "enter"),  # the library's `__enter__`, by way of a proxy
    ("drivers/_proxies.py", "as_itself"),  # a comparison, which a method of a proxy ends with
)
Key = tuple[str, int, str]  # file, first line, name: a code object in any process


class FaultError(Exception):
    """What a function of ours raises in a trial."""


@dataclass
class Trial:
    """What came of one function that raised."""

    program: str
    spans: bool
    function: str  # "drivers/sqlite.py:33 where"
    verdict: str  # "", "reached", "hung", "unsaid": the program went on and no look said anything of the fault
    detail: str = ""


def trials(program: str, world: World, *, spans: bool = False, every: int = 1, only: str = "") -> list[Trial]:
    """Raise in each function that the program reaches (in every so-manyeth; `only`: those whose name has that)."""
    asked = json.dumps([program, spans, every, only, {**asdict(world), "folder": ""}])
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS", "OTEL_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile.faults", asked],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=environ | {"OTEL_METRICS_EXPORTER": "none"},
    )
    return [Trial(**one) for one in json.loads(ran.stdout.splitlines()[-1])]


def _host(program: str, spans: bool, every: int, only: str, world: World) -> list[Trial]:
    bare = hosts.in_child(functools.partial(_bare, program, world), PATIENCE_S)
    running = hosts.prepared(program, watched=True, spans=spans)
    folder = str(Path(sys.modules["whoholds"].__file__ or "").parent) + os.sep
    watched = hosts.in_child(functools.partial(_watched, program, world, running), PATIENCE_S)
    if _shown(bare) != _shown(watched):
        return [Trial(program, spans, "no function raises", "reached", f"{bare} but {watched}")]
    if watched["failed"]:
        return [Trial(program, spans, "no function raises", "broken", f"a fault of our own: {watched['failed']}")]
    found = hosts.in_child(functools.partial(_reached, program, world, folder), PATIENCE_S)
    names = [tuple(one) for one in found["keys"] if only in f"{one[0]} {one[2]}"][::every]
    results = []
    for key in names:
        name = f"{key[0].removeprefix(folder)}:{key[1]} {key[2]}"
        got = hosts.in_child(functools.partial(_raising_in, key, program, world, folder, running), PATIENCE_S)
        verdict, detail = _verdict(bare, got)
        if verdict != "passed over":
            results.append(Trial(program, spans, name, verdict, detail))
    return results


def _bare(program: str, world: World) -> dict[str, Any]:
    hosts.prepared(program, watched=False, spans=False)
    return hosts.ran(program, world)


def _watched(program: str, world: World, running: Any) -> dict[str, Any]:
    got = hosts.ran(program, world)
    running.tick()
    return {**got, "failed": running.failed}


def _shown(got: dict[str, Any]) -> tuple[Any, ...]:
    return (got.get("said"), got.get("ended", [])[:2], got.get("hung"), got.get("broken"))


def _verdict(bare: dict[str, Any], got: dict[str, Any]) -> tuple[str, str]:
    if "broken" in got:
        return "broken", got["broken"]
    if got is hosts.HUNG:
        return "hung", ""
    if not got["times"]:
        return "passed over", ""
    if _shown(bare) != _shown(got):
        return "reached", "\n".join(map(str, got["ended"][2:])) or f"{bare['said']} but {got['said']}"
    return ("", "") if got["told"] else ("unsaid", "")


def _reached(program: str, world: World, folder: str) -> dict[str, Any]:
    """The functions of ours that the program's threads enter."""
    keys: dict[Key, None] = {}
    me = os.getpid()

    def profile(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder) and os.getpid() == me:
            keys[_key(code)] = None

    threading.setprofile(profile)
    sys.setprofile(profile)
    hosts.ran(program, world)
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]  # typeshed wants a function
    return {"keys": [key for key in keys if not key[2].startswith("<") or key[2] == "<lambda>"]}


def _key(code: CodeType) -> Key:
    return code.co_filename, code.co_firstlineno, code.co_name


def _raising_in(key: Key, program: str, world: World, folder: str, running: Any) -> dict[str, Any]:
    """Run the program while the function does nothing but raise; then look, as the ticker would."""
    times: list[None] = []

    def fault() -> None:
        times.append(None)
        raise FaultError("the harness raises here")

    builtins._hostile_fault = fault  # type: ignore[attr-defined]  # the raising code finds it wherever it stands
    itself = {(folder + file, name) for file, name in THE_CALL_ITSELF}
    sys.stderr = io.StringIO()
    changed = [(one, one.__code__) for one in hosts.ours(folder) if _key(one.__code__) == key]
    if any(hasattr(function, "__wrapped__") for function, _ in changed) or key[::2] in itself or is_guard(key):
        changed = []  # there is nobody above it to keep its fault
    for function, code in changed:
        function.__code__ = raising(code)
    got = hosts.ran(program, world)
    for function, code in changed:
        function.__code__ = code
    running.tick()
    return {**got, "times": len(times), "told": bool(running.failed) or "whoholds" in sys.stderr.getvalue()}


def is_guard(key: Key) -> bool:
    """Whether all that the function does stands in `try: … except Exception: stays_ours(…)`, so that it cannot raise."""
    for node in ast.walk(_parsed(key[0])):
        if isinstance(node, ast.FunctionDef) and node.name == key[2] and _first_line(node) == key[1]:
            body = [one for one in node.body if not isinstance(one, ast.Expr)]  # its docstring
            return bool(body) and all(isinstance(one, ast.Try) and _keeps_faults(one) for one in body)
    return False


def _keeps_faults(part: ast.Try) -> bool:
    called = [
        node.func.id
        for handler in part.handlers
        if isinstance(handler.type, ast.Name) and handler.type.id == "Exception"
        for node in ast.walk(handler)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return bool({"stays_ours", "not_ours"} & set(called))


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


@functools.cache
def _parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def raising(code: CodeType) -> CodeType:
    """Code that raises and does nothing else, of the same kind and with the same cells, so that a function takes it."""
    cells = ", ".join(code.co_freevars)
    kind = "async def" if code.co_flags & _ASYNC else "def"
    source = f"""
def maker({cells}):
    {kind} raising(*args, **kwargs):
        if not args and kwargs is None: {cells or "pass"}
        _hostile_fault()
        {"yield" if code.co_flags & _GENERATOR else ""}
    return raising
"""
    names: dict[str, Any] = {}
    exec(source, names)
    made: CodeType = names["maker"](*code.co_freevars).__code__
    return made.replace(co_name=code.co_name, co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)


def table(results: Iterable[Trial]) -> list[str]:
    """Lines of text: of each program how many functions were tried, and what came of them."""
    counts: dict[str, dict[str, int]] = {}
    for one in results:
        row = counts.setdefault(one.program + (" with spans" if one.spans else ""), {})
        for column in ("tried", one.verdict):
            row[column] = row.get(column, 0) + 1
    columns = ("tried", "reached", "hung", "unsaid", "broken")
    lines = [f"{'each function of ours raises':<34}" + "".join(f"{column:>9}" for column in columns)]
    counts["all"] = {column: sum(row.get(column, 0) for row in counts.values()) for column in columns}
    for name, row in counts.items():
        lines.append(f"{name:<34}" + "".join(f"{row.get(column, 0):>9}" for column in columns))
    return lines


def main(arguments: Sequence[str]) -> None:
    """The host's side: print the trials as JSON."""
    program, spans, every, only, world = json.loads(arguments[0])
    results = _host(program, spans, every, only, World(**{**world, "folder": Path()}))
    sys.stdout.write(json.dumps([asdict(one) for one in results]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
