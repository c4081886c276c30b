"""A process that stands ready with a library imported, watched or bare, and forks a child for each trial."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile.programs import PROGRAMS, World, imports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HUNG = {"hung": True}
A_LOOK_NEVER = 86_400.0  # seconds between the ticker's looks: a trial looks itself


def watch(*, spans: bool) -> Any:
    """Start whoholds in this process and give its Watch; its ticker looks at nothing while a trial runs."""
    import whoholds

    if not spans:
        return whoholds.start(every=A_LOOK_NEVER, outputs=())
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    return whoholds.start(every=A_LOOK_NEVER, outputs=("otel",), spans="queries")


def prepared(program: str, *, watched: bool, spans: bool) -> Any:
    """Import what the program needs, in the order of a program: whoholds comes first. Gives the Watch, or None."""
    running = watch(spans=spans) if watched else None
    imports(program)
    return running


def ran(program: str, world: World) -> dict[str, Any]:
    """What the program said, and the exception that it ended with; its temporary files are its own."""
    with tempfile.TemporaryDirectory() as folder:
        own = World(Path(folder), world.postgres, world.mariadb)
        try:
            PROGRAMS[program](own)
        except BaseException as error:  # noqa: BLE001 - it is what is asked
            ended = [type(error).__name__, str(error).splitlines()[:1], traceback.format_exc()]
        else:
            ended = []
    return {"said": own.said, "ended": ended}


def in_child(work: Callable[[], dict[str, Any]], patience_s: float) -> dict[str, Any]:
    """What `work` gives in a forked child, or HUNG; what the child writes on its streams goes nowhere."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        threading.excepthook = lambda _: None
        try:
            answer = json.dumps(work()).encode()
        except BaseException:  # noqa: BLE001 - the harness' own fault: the parent shows it
            answer = json.dumps({"broken": traceback.format_exc()}).encode()
        view = memoryview(answer)
        while view:
            view = view[os.write(writing, view) :]
        os._exit(0)
    os.close(writing)
    parts: list[bytes] = []
    try:
        while select.select([reading], [], [], patience_s)[0]:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            parts.append(part)
        else:
            os.kill(pid, signal.SIGABRT if os.environ.get("HOSTILE_ABORT") else signal.SIGKILL)
            return HUNG
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    answer_: dict[str, Any] = json.loads(b"".join(parts) or b'{"broken": "the child ended without a word"}')
    return answer_


def ours(folder: str) -> Iterator[Any]:
    """Every function whose code stands in a file below `folder`."""
    import gc
    import types

    for one in gc.get_objects():
        if type(one) is types.FunctionType and one.__code__.co_filename.startswith(folder):
            yield one
