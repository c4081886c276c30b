"""Django: the connection that a thread keeps from request to request is at home between two.

What is opened, and where, the driver below tells: sqlite3, psycopg, MySQLdb. Django is asked for one thing only:
which connections it looked at, at a request's or a job's end, and decided to keep.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers._loans import handle_on
from whoholds.hooks.seams import replace, stands_for, stays_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch Django while the block lasts."""
    from django.db.backends.base.base import BaseDatabaseWrapper

    never_blame("django")
    never_blame("asgiref")
    kept = _kept(ledger, BaseDatabaseWrapper.close_if_unusable_or_obsolete)
    restore = replace(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", kept)
    try:
        yield
    finally:
        restore()


def _kept(ledger: Ledger, original: Any) -> Any:
    """`close_old_connections` calls this before and after a request; Celery, Channels and others too."""

    def close_if_unusable_or_obsolete(self: Any) -> Any:
        result = original(self)
        try:
            if self.connection is not None:
                handle = handle_on(self.connection)
                if handle is not None and handle.pool is None:
                    handle.home_at = ledger.clock()
                    handle.at_home = True
        except Exception as error:  # noqa: BLE001 - our fault must stay ours
            stays_ours(error)
        return result

    return stands_for(close_if_unusable_or_obsolete, original)
