"""Who holds: the thread, task, job or greenlet, and the call that started it."""

from __future__ import annotations

from whoholds.ledger import cpython, faults
from whoholds.ledger.origin import from_lines, function_at, line_at

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any

    from whoholds.ledger.origin import Origin


class Spawn:
    """The call that started an owner: where, whose, and the trace that was current there."""

    __slots__ = ("by", "context", "origin", "scope", "site", "width")

    def __init__(self, origin: Origin, by: Owner | None, context: Any = None, scope: Any = None) -> None:
        self.origin = origin
        self.by = by  # the owner that made the call; ancestry is cut at Owner.MAX_DEPTH
        self.context = context  # what tracing.current() gave, or None
        self.scope = scope  # the scope that the call was made in, or None
        self.width: int | None = None  # of an executor: how many workers it may have
        self.site: Any = None  # filled in on the tick

    def __reduce__(self) -> tuple[Any, ...]:
        """As lines of text: a Process that is spawned is pickled, and with it the call that started it."""
        places = range(0, len(self.origin), 2)
        lines = [self._line(place) for place in places]
        return _spawned, (lines,)

    def _line(self, place: int) -> tuple[str, int, str]:
        code, at = self.origin[place : place + 2]
        return (code.co_filename, line_at(code, at), function_at(self.origin, place))  # type: ignore[union-attr,arg-type]


def _spawned(lines: list[tuple[str, int, str]]) -> Spawn:
    return Spawn(from_lines(lines), None)


class Owner:
    """The thread, and the task, greenlet or executor job in it, that opened a handle. Held weakly."""

    __slots__ = (
        "__weakref__",
        "depth",
        "ended_at",
        "ident",
        "is_worker",
        "job_over_at",
        "key",
        "kind",
        "life",
        "name",
        "outlived_main",
        "part_of",
        "ref",
        "spawn",
        "thread",
        "thread_name",
        "width",
    )

    MAX_DEPTH = 4

    def __init__(self, kind: str, name: str, ref: Any, ident: int, spawn: Spawn | None, thread: Any = None) -> None:
        self.kind = kind  # "thread", "task", "job" or "greenlet"
        self.name = name
        self.key = 0  # id of the Thread, of a thread that has one
        self.life: Any = None  # of a thread without a Thread: weak reference to an object that goes with the thread
        self.ref = ref  # weak reference to the Thread, Task or greenlet, or None where there is none
        self.ident = ident  # of the thread it ran in when it first opened something
        self.thread = thread  # for a job: the owner that is its worker thread
        self.thread_name = name if kind in ("thread", "job") else ""  # of a task: that of the thread it ran in
        self.part_of: Owner | None = None  # the task that awaits what a worker thread does for it
        self.ended_at: float | None = None  # monotonic seconds; when a tick first saw it gone
        self.job_over_at: float | None = None  # when a job returned, though its worker lives
        self.is_worker = False  # a thread that runs an executor's jobs, or what tasks await
        self.outlived_main = False  # a thread that was still running when the main thread had ended
        self.width: int | None = 0  # how many workers its executor may have; 0: nobody has asked
        by = spawn.by if spawn else None
        self.depth: int = by.depth + 1 if by else 0
        if spawn and self.depth >= self.MAX_DEPTH:
            spawn.by = None
        self.spawn = spawn

    @property
    def whole(self) -> Owner:
        """The task, for what a worker thread does for it; anybody else himself."""
        return self.part_of or self

    def inside(self, worker: Owner) -> Owner:
        """An owner for what the thread `worker` does while this task awaits it: the task, but the thread keeps it."""
        part = Owner(self.kind, self.name, self.ref, worker.ident, self.spawn, worker)
        part.thread_name = worker.name
        part.part_of = self
        return part

    def gone(self) -> bool:
        """Whether it has ended; a job is not gone while its worker lives. Called by the thread that ticks."""
        if self.kind == "job":
            worker: Owner | None = self.thread
            return worker.gone() if worker is not None else self.job_over_at is not None
        if self.ref is None:
            return self._without_a_thread_gone()
        alive = self.ref()
        if alive is None:
            return True
        if self.kind == "thread":
            return not cpython.is_running(alive, self.ident)
        try:
            return bool(alive.done() if self.kind == "task" else alive.dead)
        except Exception as error:
            if faults.is_the_programs(error):
                raise
            return False  # a task of the program's own kind, which does not say so

    def _without_a_thread_gone(self) -> bool:
        """A thread that Python has no Thread for: one that C started, which has no frame while it runs no Python."""
        if self.life is not None and self.life() is not None:
            return False
        frames = cpython.current_frames()  # with this function's own: a cycle, which would keep callers' variables
        try:
            return bool(frames) and self.ident not in frames
        finally:
            del frames

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"
