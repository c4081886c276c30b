"""The providers that the program has configured, and their shutdown, which must come after the last look.

This module must not import OpenTelemetry, configure a provider, or get one through the API, because that could load a
provider that an environment variable names.
"""

from __future__ import annotations

import atexit
import sys
import threading
from typing import TYPE_CHECKING, Any

from whoholds.hooks import otel_names
from whoholds.hooks.threads import Bell, RealThread
from whoholds.watching import attending

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_S = 2.0  # longest wait for the export of a child process that exits without atexit


def provider(signal: str) -> Any:
    """The provider of `traces`, `logs` or `metrics` that the program has set; None if there is none that still runs."""
    current = otel_names.provider_set(signal)
    if current is None or type(current).__name__.startswith(("Proxy", "_Proxy", "NoOp")):
        return None
    return None if otel_names.shut_down(current) else current


def outlive_us() -> None:
    """Move the shutdown that every SDK has registered for the exit behind whoholds's last look.

    The main thread calls this at its end, before the first `atexit` handler. Without it, an SDK that was configured
    after whoholds had started would shut down before the last look, and the last spans would be lost.
    """
    processes = sys.modules.get("multiprocessing.process")
    is_child = processes is not None and processes.parent_process() is not None
    was_spawned = "--multiprocessing-fork" in sys.orig_argv
    if is_child and not was_spawned and sys.version_info < (3, 13):  # it runs no handler of `atexit`
        return  # this child exits through os._exit, and a shutdown could delay it: `flush` has a time limit
    _outlive_us.append(True)
    for signal in otel_names.HOLDERS:
        shut = getattr(provider(signal), "shutdown", None)
        if shut is not None and otel_names.shuts_down_at_exit(shut.__self__):
            atexit.unregister(shut)
            attending.after_last_look(_guarded(shut))


def _guarded(shut: Callable[[], Any]) -> Callable[[], None]:
    def call() -> None:
        try:
            shut()
        except Exception as error:  # noqa: BLE001 - an SDK's fault at exit must not keep the others from ending
            sys.stderr.write(f"whoholds: {type(error).__name__} in an OpenTelemetry provider's shutdown: {error}\n")

    return call


def flush() -> None:
    """Export what is queued, waiting at most `FLUSH_S`, in a process in which no shutdown follows.

    Such are, until 3.12, the children that multiprocessing forks. If `outlive_us` arranged a shutdown, nothing is done.
    """
    if _outlive_us:
        return
    done = Bell()
    providers = map(provider, otel_names.HOLDERS)
    flushes = [each.force_flush for each in providers if hasattr(each, "force_flush")]
    if not flushes:
        return

    def run() -> None:
        for force_flush in flushes:
            try:
                force_flush()
            except Exception:  # noqa: BLE001, S110 - an exporter's fault, which its own log tells
                pass
        done.ring()

    try:
        RealThread(run).start()
        done.wait(FLUSH_S)  # or the back end does not answer
    except RuntimeError:  # no thread can be started any more
        pass


_waiting_for_exit: list[bool] = []
_outlive_us: list[bool] = []


def watch_exit() -> None:
    """Let the main thread call `outlive_us` at its end. A second call changes nothing."""
    register = getattr(threading, "_register_atexit", None)
    if register is not None and not _waiting_for_exit:
        _waiting_for_exit.append(True)
        try:
            register(outlive_us)
        except RuntimeError:  # the main thread has ended already
            pass
