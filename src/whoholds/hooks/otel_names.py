"""Every private name of OpenTelemetry that whoholds reads, each with what stands in for it where it is gone.

Seen in opentelemetry-api 1.30 to 1.45. This module must not import OpenTelemetry: it reads what the program imported.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

# Signal → the module of the API, and the global in it, that hold the provider which the program has set.
HOLDERS = {
    "traces": ("opentelemetry.trace", "_TRACER_PROVIDER"),
    "logs": ("opentelemetry._logs._internal", "_LOGGER_PROVIDER"),
    "metrics": ("opentelemetry.metrics._internal", "_METER_PROVIDER"),
}
_SUPPRESS = "suppress_instrumentation"  # the key that instrumentations of other projects use


def provider_set(signal: str) -> Any:
    """The provider of `traces`, `logs` or `metrics` that the program has set; None without one, or without the name."""
    module, name = HOLDERS[signal]
    return getattr(sys.modules.get(module), name, None)


def current_context(contexts: ModuleType) -> Callable[[], dict[str, Any]]:
    """What gives the current context with the fewest calls: the runtime's own function, else the API's."""
    runtime = getattr(contexts, "_RUNTIME_CONTEXT", None)
    get: Callable[[], dict[str, Any]] = getattr(runtime, "get_current", None) or contexts.get_current
    return get


def span_key() -> str | None:
    """The key of the current span in a context; None where the name is gone, and the API has to be asked."""
    return getattr(sys.modules.get("opentelemetry.trace.propagation"), "_SPAN_KEY", None)


def suppress_keys(contexts: ModuleType) -> tuple[str, str]:
    """The two keys under which a context says that instrumentation is suppressed; the second is a plain word."""
    return getattr(contexts, "_SUPPRESS_INSTRUMENTATION_KEY", _SUPPRESS), _SUPPRESS


def shut_down(provider: Any) -> bool:
    """Whether a provider says that it has been shut down: those of metrics warn when they are used after that."""
    return getattr(provider, "_shutdown", None) is True


def shuts_down_at_exit(provider: Any) -> bool:
    """Whether the SDK has registered its shutdown for the exit; a provider of logs names the attribute otherwise."""
    return any(getattr(provider, name, None) is not None for name in ("_atexit_handler", "_at_exit_handler"))
