"""The providers that the program has configured, if any; and their end, which must come after our last look.

It never imports OpenTelemetry first, never configures a provider, and never asks the API for one where that
would load what an environment variable names.
"""

from __future__ import annotations

import _thread
import atexit
import sys
from typing import TYPE_CHECKING, Any

from whoholds.watching import ticker as ticking

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # not CPython, where nothing is watched; queue's own are gevent's after its patching
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_S = 2.0  # for the spans of a child process that leaves without atexit

# Module of the API that has to be there → the module and global that hold its provider.
_HOLDERS = {
    "traces": ("opentelemetry.trace", "_TRACER_PROVIDER"),
    "logs": ("opentelemetry._logs._internal", "_LOGGER_PROVIDER"),
    "metrics": ("opentelemetry.metrics._internal", "_METER_PROVIDER"),
}


def provider(signal: str) -> Any:
    """The provider of `traces`, `logs` or `metrics` that the program has set, or None while it has set none."""
    module, name = _HOLDERS[signal]
    found = getattr(sys.modules.get(module), name, None)
    if found is None or type(found).__name__.startswith(("Proxy", "_Proxy", "NoOp")):
        return None
    return None if getattr(found, "_shutdown", None) is True else found  # a meter provider tells, and complains


def outlive_us() -> None:
    """Let every SDK's own shutdown at exit come after our last look instead of before it.

    Called once the main thread has ended and before the first `atexit` handler: an SDK configured later than
    we started would otherwise shut itself down earlier than we look, and the last spans were lost.
    """
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        return  # it leaves through os._exit, and its providers' shutdown might hold it up: `flush` does not
    _outlive_us.append(True)
    for signal in _HOLDERS:
        shut = getattr(provider(signal), "shutdown", None)
        if shut is not None and _will_shut_down(shut.__self__):
            atexit.unregister(shut)
            ticking.after_last_look(_guarded(shut))


def _will_shut_down(found: Any) -> bool:
    """Whether the SDK has registered its shutdown and nobody has called it yet; traces and metrics, then logs."""
    return any(getattr(found, name, None) is not None for name in ("_atexit_handler", "_at_exit_handler"))


def _guarded(shut: Callable[[], Any]) -> Callable[[], None]:
    def call() -> None:
        try:
            shut()
        except Exception as error:  # noqa: BLE001 - an SDK's fault at exit must not keep the others from ending
            sys.stderr.write(f"whoholds: {type(error).__name__} in an OpenTelemetry provider's shutdown: {error}\n")

    return call


def flush() -> None:
    """Export what is queued where no shutdown follows, waiting at most `FLUSH_S`: multiprocessing's children."""
    if _outlive_us:
        return
    done: SimpleQueue[None] = SimpleQueue()
    flushes = [found.force_flush for found in map(provider, _HOLDERS) if hasattr(found, "force_flush")]
    if not flushes:
        return

    def run() -> None:
        for force_flush in flushes:
            try:
                force_flush()
            except Exception:  # noqa: BLE001, S110 - an exporter's fault, which its own log tells
                pass
        done.put(None)

    try:
        _thread.start_new_thread(run, ())
        done.get(timeout=FLUSH_S)
    except (Empty, RuntimeError):  # the collector does not answer, or there are no threads here any more
        pass


_waiting_for_exit: list[bool] = []
_outlive_us: list[bool] = []


def watch_exit() -> None:
    """Call `outlive_us` at the end of the main thread. Once for the process."""
    threading = sys.modules.get("threading")
    register = getattr(threading, "_register_atexit", None)
    if register is not None and not _waiting_for_exit:
        _waiting_for_exit.append(True)
        try:
            register(outlive_us)
        except RuntimeError:  # the process is ending already
            pass
