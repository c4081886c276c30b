"""Who uses the running Watch: `start` until `stop`, and each `with whoholds.watch()`. It lives until the last one ends.

No lock may be taken here: a signal's handler, a greenlet or a forked child would wait for it for ever.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.hooks.threads import pause, real_ident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from whoholds.ledger.scope import Scope
    from whoholds.settings.limits import Limits
    from whoholds.watching.watch import Watch

LONGEST_S = 5.0  # how long a thread waits at most for another one that begins or ends a watch
ASK_S = 0.002

_turn: dict[int, tuple[int, int]] = {}  # {0: (process, thread)} during a turn; setdefault is one C call


@contextmanager
def turn() -> Iterator[None]:
    """Provide that no other thread begins or ends a watch while the block lasts.

    The thread whose turn it is may enter again: a signal's handler or another greenlet of it does not wait for what it
    has interrupted. The turn of a thread that a fork has left behind is over, and nobody waits for more than
    `LONGEST_S`.
    """
    me = (os.getpid(), real_ident())
    waited = 0.0
    try:
        while (theirs := _turn.setdefault(0, me)) is not me and theirs[1] != me[1]:
            if theirs[0] != me[0] or waited >= LONGEST_S:
                _turn[0] = me
            else:
                pause(ASK_S)
                waited += ASK_S
        yield
    finally:
        if _turn.get(0) is me:
            del _turn[0]


class Use:
    """One use of a watch, from `begin` to `end`: by `start`, by a block, or by a run of pytest."""

    def __init__(self, scope: Scope | None = None) -> None:
        """`scope` is that of a block; None for a use that is no block."""
        self.scope = scope
        self.watch: Watch | None = None  # None until it begins
        self.undo: list[Callable[[], object]] = []  # what else ends with this use
        self._before: dict[str, Any] = {}  # settings as they were before this use changed them

    def begin(self, watch: Watch) -> None:
        """From now on `watch` is used."""
        self.watch = watch
        for gone in [use for use in list(_uses) if use() is None]:
            _uses.pop(gone, None)
        _uses[ref(self)] = None

    def end(self) -> None:
        """From now on it is not used; a second call changes nothing."""
        _uses.pop(ref(self), None)

    def has_set(self, before: Limits, limits: Limits, named: Mapping[str, object]) -> None:
        """Remember how the settings were `before` this use has replaced them by `limits`; it gave those `named`."""
        for name in {*named, *before.differing(limits)}:
            self._before.setdefault(name, getattr(before, name))

    def give_settings_back(self) -> None:
        """Take back what this use has set, except where a later use has set the same and still lasts."""
        every = users(self.watch) if self.watch is not None else []
        if self.watch is None or self not in every:
            return
        later = every[every.index(self) + 1 :]
        back: dict[str, Any] = {}
        while self._before:
            name, value = self._before.popitem()
            heirs = [use for use in later if name in use._before]
            if heirs:
                heirs[0]._before[name] = value
            else:
                back[name] = value
        if back:
            self.watch.use(replace(self.watch.limits, **back))


# Those that last, the oldest first. Held weakly: an interrupt may keep a block's end from its work, and whoever uses
# the watch next ends it.
_uses: dict[ref[Use], None] = {}


def users(watch: Watch) -> list[Use]:
    """The uses of `watch` that last, the oldest first."""
    return [use for use in [one() for one in list(_uses)] if use is not None and use.watch is watch]
