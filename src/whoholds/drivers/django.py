"""Django: a connection that a thread keeps from one request to the next counts as at home between the two.

The driver of the database library below (sqlite3, psycopg, MySQLdb) tells what is opened, and where. This driver tells
only which connections Django examined and kept at the end of a request or job.
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
    import django
    from django.db.backends.base.base import BaseDatabaseWrapper

    kit.library("Django", django.__version__, packages=("django", "asgiref"), layers=("django/db/", "django/utils/"))

    def kept(wrapper: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        """Marks a kept connection as put aside. `close_old_connections` calls the hooked method around each request.

        Celery, Channels and others call that method, too.
        """
        if wrapper.connection is not None:
            put_aside(handle_on(wrapper.connection), ledger.clock())

    name = "close_if_unusable_or_obsolete"
    with kit.open_names() as stand:
        stand(BaseDatabaseWrapper, name, kit.around(getattr(BaseDatabaseWrapper, name), after=kept))
        yield
