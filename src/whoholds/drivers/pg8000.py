"""pg8000: `CoreConnection`, which its DB-API, legacy and native interfaces share."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.analysis.blame import never_blame
from whoholds.drivers.kit import (
    called,
    in_range,
    keep,
    noticed,
    opening,
    postgres_asked,
    replace,
    whoholds_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

_ARGUMENTS = ("user", "host", "database", "port")
_STATEMENTS = ("execute_simple", "execute_unnamed", "prepare_statement")
_USES = ("execute_named", "close_prepared_statement")


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch pg8000 while the block lasts."""
    import pg8000
    from pg8000.core import CoreConnection

    in_range("pg8000", pg8000.__version__, "1.29", "2")
    never_blame("pg8000")
    with ExitStack() as names:

        def stand(name: str, ours: Any) -> None:
            names.callback(replace(CoreConnection, name, ours))

        stand("__init__", opening(CoreConnection.__init__, ledger, "pg8000", _told, keep, _asked))
        stand("close", called(CoreConnection.close, ledger, whoholds_of))
        for name in _STATEMENTS:
            method = getattr(CoreConnection, name)
            stand(name, noticed(method, ledger, whoholds_of, _in_transaction, sql=True, broke=_broke))
        for name in _USES:
            method = getattr(CoreConnection, name)
            stand(name, noticed(method, ledger, whoholds_of, _in_transaction, broke=_broke))
        yield


def _in_transaction(connection: Any) -> bool:
    return connection._transaction_status in (b"T", b"E")


def _broke(connection: Any, _: BaseException) -> bool:
    return connection._sock is None


def _told(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    key: bytes | None = connection._backend_key_data
    return _asked(connection, args, kwargs), int.from_bytes(key[:4], "big") if key else None


def _asked(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    said = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
    user, path = said.get("user"), said.get("unix_sock")
    return postgres_asked(
        {
            "user": user.decode("utf-8", "replace") if isinstance(user, bytes) else user,
            "host": path.rpartition("/")[0] if path else said.get("host") or "localhost",
            "port": said.get("port") or 5432,
            "database": said.get("database") or user,
        }
    )
