"""psycopg2's own frame of ours on the user's stack: `connection.cursor`.

`around` written out, because most programs make a cursor for each statement; what it promises this promises too.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Callable


def making_cursors(
    original: Callable[..., Any],
    ours: type,
    factory: Callable[..., Any],
    opened: Callable[[Any, Any, Any], None],
) -> Any:
    """`connection.cursor`, with our class `ours` for the factory, or `factory(wanted, named=…)` for the user's.

    `opened(connection, cursor, frame)` is told of a named cursor, which holds something on the server.
    """

    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = name = wanted = None
        plain = False
        try:
            try:
                plain = not args and not kwargs and self.cursor_factory is None
                if not plain:
                    name = args[0] if args else kwargs.get("name")
                    wanted = (args[1] if len(args) > 1 else kwargs.get("cursor_factory")) or self.cursor_factory
                    wanted = factory(wanted or ours, named=name is not None)
                    if len(args) > 1:
                        args = (args[0], wanted, *args[2:])
                    else:
                        kwargs["cursor_factory"] = wanted
            except Exception as error:  # noqa: BLE001 - our fault must stay ours
                stays_ours(error, original)
            if plain:  # a call that need not be unpacked costs less
                return original(self, None, ours)
            made = original(self, *args, **kwargs)
            if name is not None:
                try:
                    opened(self, made, sys._getframe(1))
                except Exception as error:  # noqa: BLE001 - our fault must stay ours
                    stays_ours(error, original)
        except BaseException:
            del self, args, kwargs, made, name, wanted
            raise
        return made

    return stands_for(cursor, original)
