"""What `opentelemetry-instrument` finds: enabling it starts the watch, with the environment's settings.

`BaseInstrumentor` comes with opentelemetry-instrumentation, which is not needed for anything else: without it this
module gives a class that does the same when called by hand.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

try:
    from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined,import-not-found,unused-ignore]
        BaseInstrumentor as _Base,
    )
except ImportError:

    class _Base:  # type: ignore[no-redef]
        """Stands for BaseInstrumentor where that is not installed."""

        def instrument(self, **kwargs: Any) -> None:
            """Start watching."""
            self._instrument(**kwargs)

        def uninstrument(self, **kwargs: Any) -> None:
            """Stop watching."""
            self._uninstrument(**kwargs)

        def _instrument(self, **kwargs: Any) -> None:
            raise NotImplementedError

        def _uninstrument(self, **kwargs: Any) -> None:
            raise NotImplementedError


OFF = ("0", "false", "off", "no")


class WhoholdsInstrumentor(_Base):  # type: ignore[misc,unused-ignore]  # untyped, or not there
    """`instrument(**settings)` is `whoholds.start(**settings)`; where WHOHOLDS says nothing, the output is `otel`."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing: it waits for whichever library the program imports."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Start, unless WHOHOLDS says not to. It never raises: that would stop the other instrumentations too."""
        said = os.environ.get("WHOHOLDS", "").strip().lower()
        if said in OFF:
            return
        from whoholds import startup
        from whoholds.limits import Limits
        from whoholds.matching import WrongSetting
        from whoholds.text.streams import say

        settings = {name: value for name, value in kwargs.items() if name in Limits.__dataclass_fields__}
        if not said and "outputs" not in settings:
            settings["outputs"] = ("otel", "journal") if os.environ.get("WHOHOLDS_JOURNAL") else ("otel",)
        try:
            startup.start(**settings)
        except WrongSetting as wrong:
            say(f"whoholds: not watching: {wrong}")

    def _uninstrument(self, **kwargs: Any) -> None:
        del kwargs
        from whoholds import stop

        stop()
