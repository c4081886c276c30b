"""Django: the connection that a thread keeps from request to request is at home between two.

What is opened, and where, the driver below tells: sqlite3, psycopg, MySQLdb. Django is asked for one thing only:
which connections it looked at, at a request's or a job's end, and decided to keep.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit
from whoholds.drivers._loans import handle_on, put_aside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch Django while the block lasts."""
    from django.db.backends.base.base import BaseDatabaseWrapper

    kit.library("django", packages=("django", "asgiref"), layers=("django/db/", "django/utils/"))

    def kept(wrapper: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """`close_old_connections` calls this before and after a request; Celery, Channels and others too."""
        if wrapper.connection is not None:
            put_aside(handle_on(wrapper.connection), ledger.clock())

    name = "close_if_unusable_or_obsolete"
    with kit.open_names() as stand:
        stand(BaseDatabaseWrapper, name, kit.around(getattr(BaseDatabaseWrapper, name), after=kept))
        yield
