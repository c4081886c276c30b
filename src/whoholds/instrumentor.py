"""The instrumentor that `opentelemetry-instrument` finds: enabling it starts the watch with the environment's settings.

`BaseInstrumentor` comes with opentelemetry-instrumentation, which whoholds needs for nothing else. Without that
package this module defines a class that does the same when called by hand.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from whoholds.switch import is_on

if TYPE_CHECKING:
    from collections.abc import Collection

try:
    from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined,import-not-found,unused-ignore]
        BaseInstrumentor as _Base,
    )
except ImportError:

    class _Base:  # type: ignore[no-redef]
        """Stands in for BaseInstrumentor where opentelemetry-instrumentation is not installed."""

        def instrument(self, **kwargs: Any) -> None:
            """Start the watch."""
            self._instrument(**kwargs)

        def uninstrument(self, **kwargs: Any) -> None:
            """Stop the watch."""
            self._uninstrument(**kwargs)

        def _instrument(self, **kwargs: Any) -> None:
            raise NotImplementedError

        def _uninstrument(self, **kwargs: Any) -> None:
            raise NotImplementedError


class WhoholdsInstrumentor(_Base):  # type: ignore[misc,unused-ignore]  # untyped, or not installed
    """`instrument(**settings)` is `whoholds.start(**settings)`; without WHOHOLDS the only output is `otel`.

    `journal` is an output, too, where WHOHOLDS_JOURNAL is set.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """No packages: whoholds waits for whichever library the program imports."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Start the watch, unless WHOHOLDS is off. A wrong setting is only written to stderr.

        An exception here would keep the other instrumentations from starting.
        """
        said = os.environ.get("WHOHOLDS", "").strip().lower()
        if said and not is_on(said):
            return
        from whoholds import startup
        from whoholds.settings.limits import Limits
        from whoholds.settings.matching import WrongSetting
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
