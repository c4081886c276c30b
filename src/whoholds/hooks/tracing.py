"""The span that was current where a handle was opened or an owner spawned, as a span context and a weak reference.

It must import nothing of OpenTelemetry: it is installed once the program itself has imported the API. It takes no lock
and calls no method of a span that takes one, for a handle can be closed inside the garbage collector's callback.
"""

from __future__ import annotations

from _weakref import ref

from whoholds.hooks import otel_names
from whoholds.ledger import here
from whoholds.ledger.opener import SUPPRESSED, closing

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from whoholds.ledger.opener import Opener


def install(trace: ModuleType) -> Callable[[], None]:
    """Read the trace context from now on; `trace` is `opentelemetry.trace`. The returned call undoes it."""
    here.current_context = _reader(trace)
    here.at_closing = closing

    def restore() -> None:
        here.current_context = here.no_context
        here.at_closing = here.nothing_at_closing

    return restore


def _reader(trace: ModuleType) -> Callable[[], Opener | None]:
    """A function that reads the current span with the fewest calls that this version of the API allows."""
    from opentelemetry import context as contexts

    span_key = otel_names.span_key()
    suppress = otel_names.suppress_keys(contexts)
    get = otel_names.current_context(contexts)

    def current() -> Opener | None:
        """The opener to keep, or None where no span is current. Called in the user's thread: 0.1 to 0.4 µs."""
        context = get()
        if not context:
            return None
        if suppress[0] in context or suppress[1] in context:
            return SUPPRESSED
        span = context.get(span_key) if span_key is not None else trace.get_current_span()
        if span is None:
            return None
        span_context = span.get_span_context()
        return (span_context, ref(span)) if span_context.is_valid else None

    return current
