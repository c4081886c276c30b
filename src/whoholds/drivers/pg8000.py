"""pg8000: `CoreConnection`, which its DB-API, legacy and native interfaces share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from whoholds.drivers import _tags, kit
from whoholds.ledger.adoptable import Adoptable, Keepers
from whoholds.ledger.database import Database, database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.drivers._importlib_bootstrap.shapes import Raised
    from whoholds.ledger.ledger import Ledger

_ARGUMENTS = ("user", "host", "database", "port")
_STATEMENTS = ("execute_simple", "execute_unnamed", "prepare_statement")
_USES = ("execute_named", "close_prepared_statement")


@contextmanager
def watch(ledger: Ledger) -> Iterator[None]:
    """Watch pg8000 while the block lasts."""
    import pg8000
    from pg8000.core import CoreConnection

    base = CoreConnection

    kit.library("pg8000", pg8000.__version__)
    ledger.keepers["pg8000"] = Keepers(kit.keep)
    with kit.open_names() as stand:
        named = _tags.in_constructor(base.__init__, ledger)
        stand(base, "__init__", kit.opening(named, ledger, "pg8000", _identify, kit.keep, _target))
        stand(base, "close", kit.closing(base.close, ledger, kit.whoholds_of, if_raised=_is_closed))
        for name in _STATEMENTS:
            method = getattr(base, name)
            stand(base, name, kit.used(method, ledger, kit.whoholds_of, _in_transaction, sql=True, broke=_broke))
        for name in _USES:
            method = getattr(base, name)
            stand(base, name, kit.used(method, ledger, kit.whoholds_of, _in_transaction, broke=_broke))
        yield


def adoptable() -> Adoptable:
    """How to read connections that were open before. Where they lead is known to the socket, and the user to pg8000."""
    from pg8000.core import CoreConnection

    def identify(connection: Any) -> tuple[Database, int | None]:
        key: bytes | None = connection._backend_key_data
        try:
            peer: Any = connection._usock.getpeername()
        except OSError:  # the server has ended the connection
            peer = ""
        host, port = peer[:2] if isinstance(peer, tuple) else (str(peer).rpartition("/")[0], None)
        user = connection.user
        user = user.decode("utf-8", "replace") if isinstance(user, bytes) else str(user)
        return database("postgresql", user, host, port, "?"), int.from_bytes(key[:4], "big") if key else None

    return Adoptable("pg8000", (CoreConnection,), identify, _is_closed, _in_transaction)


def _in_transaction(connection: Any) -> bool:
    return connection._transaction_status in (b"T", b"E")


def _is_closed(connection: Any) -> bool:
    return connection._sock is None


def _broke(connection: Any, _: Raised) -> bool:
    return _is_closed(connection)


def _identify(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, int | None]:
    key: bytes | None = connection._backend_key_data
    return _target(connection, args, kwargs), int.from_bytes(key[:4], "big") if key else None


def _target(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    said = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
    user, path = said.get("user"), said.get("unix_sock")
    return kit.postgres_target(
        {
            "user": user.decode("utf-8", "replace") if isinstance(user, bytes) else user,
            "host": path.rpartition("/")[0] if path else said.get("host") or "localhost",
            "port": said.get("port") or 5432,
            "database": said.get("database") or user,
        }
    )
