"""SQLAlchemy's sessions: the line that made a session is kept, for it is where a loan of the session is given back.

A session borrows at its first statement, which may be far from there. What is stored on a session refers to code, never
to a frame.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.ledger.origin import nearest_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from whoholds.ledger.ledger import Ledger

_MADE = "_whoholds_made"  # attribute of a session: the origin that says where it was made


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch SQLAlchemy's sessions while the block lasts; its pools have a driver of their own."""
    del ledger
    import sqlalchemy
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    kit.library("SQLAlchemy", sqlalchemy.__version__, packages=("sqlalchemy",))
    began = kit.listener(_began, "sqlalchemy.orm.Session.after_begin", framed=False)
    with kit.open_names() as stand:
        stand(Session, "__init__", kit.around(Session.__init__, _making))
        event.listen(Session, "after_begin", began)
        stand.at_the_end(_silence, event, Session, began)
        yield


def _silence(event: Any, target: Any, listener: Any) -> None:
    if event.contains(target, "after_begin", listener):  # otherwise someone has cleared all listeners
        event.remove(target, "after_begin", listener)


def _making(session: Any, _args: Any, _kwargs: Any, frame: FrameType | None) -> None:
    """The constructor runs, under the program's own call, `sessionmaker`, `scoped_session` or `AsyncSession`."""
    setattr(session, _MADE, nearest_own(frame))


def _began(session: Any, transaction: Any, connection: Any) -> None:
    """The event `after_begin`: the session has a connection; unless it was given one, it has borrowed it."""
    try:
        closes = transaction._connections[connection][-1]
    except (AttributeError, LookupError):
        closes = session.bind is not connection
    if closes:  # what a session was given, as `bind`, in `binds` or by its `get_bind`, it does not give back
        try:
            loan = connection._dbapi_connection._connection_record._whoholds_loan
        except AttributeError:  # a detached connection has none
            return
        if loan is not None:
            loan.made = getattr(session, _MADE, ())
