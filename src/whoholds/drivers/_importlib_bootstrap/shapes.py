"""What a driver hands to the kit: the shapes of its functions, for the type checker only.

`Frame` is the frame of whoever called the library; `Raised` whatever a call may raise, KeyboardInterrupt too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from whoholds.ledger.database import Database
    from whoholds.ledger.handle import Handle

    Raised = BaseException
    HandleOf = Callable[[Any], Handle]
    State = Callable[[Any], Any]
    TextOf = Callable[[Any], Any]
    Broke = Callable[[Any, Raised], bool]
    Frame = FrameType | None
    Before = Callable[[Any, tuple[Any, ...], dict[str, Any], Frame], Any]
    After = Callable[[Any, Any, Any, Frame], object]
    Failed = Callable[[Any, Any, Raised, Frame], object]
    Asks = Callable[[Any, Frame], Handle | None]
    Takes = Callable[[Any, Any], object]
    NotTaken = Callable[[Any, Any, Raised], object]
    Lent = Callable[[Any, Handle, Any], object]
    NotLent = Callable[[Any, Handle | None, Raised, tuple[Any, ...], dict[str, Any]], object]
    Gives = Callable[[Any, Any, Any, Frame], Any]
    Arguments = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
    Identify = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Database, int | None]]
    Target = Callable[[Any, tuple[Any, ...], dict[str, Any]], Database]
    Keep = Callable[[Any, Handle], None]
