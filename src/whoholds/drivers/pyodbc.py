"""pyodbc: a proxy of each connection, for its C types can be watched in no other way. See `_proxied`.

ODBC does not say without asking the server whether a transaction is open, so it is never known here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from whoholds.drivers import kit
from whoholds.drivers._odbc import target
from whoholds.drivers._proxied import watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.ledger import Ledger


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch pyodbc while the block lasts."""
    import pyodbc

    kit.library("pyodbc", pyodbc.version)
    with watching(ledger, pyodbc, target):
        yield
