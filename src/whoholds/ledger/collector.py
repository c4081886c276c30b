"""Whether the garbage collector works now, and in which thread: what it frees was kept by a cycle.

Every change is one C call, and so is every question: the collector may begin in another thread in between.
"""

from __future__ import annotations

import _thread
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Collections:
    """Tells what the collector freed from what its last reference freed; its `callbacks` are for `gc.callbacks`.

    They are C calls. A function of ours would be the first Python code to run after a signal that came while the
    collector worked: what the signal's handler raises would be raised, and lost, in that callback.
    """

    def __init__(self) -> None:
        self._phases = OrderedDict[str, None](start=None, stop=None)  # the last key is the phase, each info being true
        self._mine = _thread._local()  # phase → the info that came in this thread
        self._latest: dict[str, Any] = {}  # phase → the info that came in any
        self.callbacks: tuple[Callable[[str, Any], None], ...] = (
            self._phases.move_to_end,
            self._mine.__setattr__,
            self._latest.__setitem__,
        )

    def here(self) -> bool:
        """Whether the collector works in this thread now."""
        # one C call: `reversed` and `next` are two, and another thread may collect between them
        return list(self._phases)[-1] == "start" and getattr(self._mine, "start", self) is self._latest["start"]
