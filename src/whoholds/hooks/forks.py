"""Hooks for forks: called before the fork, in the child, and in the parent once the call has returned.

Since 3.12 CPython counts the threads of the parent after its `after_in_parent` hooks, and warns if there is more than
one. A thread of ours may run again only when the call has returned, so the functions that fork have stand-ins there.
"""

from __future__ import annotations

import os
import sys

from whoholds.hooks import imports, threads
from whoholds.hooks.seams import replace, stays_ours
from whoholds.hooks.stand_ins import ChoosingStandIn, StandIn, stand

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType
    from typing import Any

COUNTED = sys.version_info >= (3, 12)  # whether CPython counts threads when it forks
LINGERS_S = 0.0005  # seconds until a thread joined a moment ago is gone from the kernel's list

_hooked: list[bool] = []
_before: list[Callable[[FrameType | None], None]] = []
_in_child: list[Callable[[], None]] = []
_in_parent: list[Callable[[], None]] = []
_returned: list[Callable[[], None]] = []
_ours: list[Callable[[], int]] = []
_give_back: list[Callable[[], None]] = []
_crowded: dict[int, bool] = {}  # by thread: whether other threads run than ours, and CPython warns anyway


def watch(
    before: Callable[[FrameType | None], None],
    in_child: Callable[[], None],
    in_parent: Callable[[], None],
    returned: Callable[[], None],
    ours: Callable[[], int],
) -> None:
    """Call these functions around every fork of this process, in the thread that forks. A second call changes nothing.

    `before(frame)` gets the frame that forks; `in_parent` is called while no thread may be started yet, `returned`
    when one may; `ours()` returns how many threads of ours run.
    """
    if not hasattr(os, "register_at_fork"):
        return
    if not _hooked:
        _hooked.append(True)
        _before.append(before)
        _in_child.append(in_child)
        _in_parent.append(in_parent)
        _returned.append(returned)
        _ours.append(ours)
        os.register_at_fork(before=_hook_before, after_in_child=_hook_in_child, after_in_parent=_hook_in_parent)
    if COUNTED and not _give_back:
        posix: Any = sys.modules["posix"]
        originals = [getattr(posix, name) for name in ("fork", "forkpty") if hasattr(posix, name)]
        _give_back.append(stand({original: _stand_in(original) for original in originals}))
        imports.when_imported("subprocess", _subprocess)


def forget() -> None:
    """Give every name back."""
    imports.forget(_subprocess)
    while _give_back:
        _give_back.pop()()


def _subprocess(module: ModuleType) -> None:
    """Hooks the call by which `subprocess` forks. It calls fork hooks only if there is a `preexec_fn`."""
    original = getattr(module, "_fork_exec", None)
    if original is not None:
        _give_back.append(replace(module, "_fork_exec", _stand_in(original)))


def _stand_in(original: Any) -> StandIn:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            try:
                _has_returned()
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)

    def choose() -> Any:
        """The function to call. Where CPython will warn, no frame of ours may be on the stack.

        The warning must blame the line that forks. Called in the thread that forks.
        """
        if not _others():
            return guarded
        _crowded[threads.real_ident()] = True
        return original

    return ChoosingStandIn(original, choose)


def _others() -> bool:
    """Whether any threads run besides this thread and ours."""
    ours = _ours[0]()
    if threads.of_python() - 1 - ours > 0:
        return True
    if threads.of_the_system() - 1 - ours <= 0:
        return False
    threads.pause(LINGERS_S)
    return threads.of_the_system() - 1 - ours > 0


def _hook_before() -> None:
    frame = sys._getframe().f_back  # None where C forks without Python
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    for call in _before:
        call(frame)


def _hook_in_child() -> None:
    _crowded.clear()
    for call in _in_child:
        call()


def _hook_in_parent() -> None:
    for call in _in_parent:
        call()
    crowded = _crowded.pop(threads.real_ident(), False) and threads.of_the_system() != 1
    if not COUNTED or crowded:
        _has_returned()


def _has_returned() -> None:
    for call in _returned:
        call()
