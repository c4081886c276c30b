"""What the drivers of MySQL have in common: how a connection is identified, and whether a transaction is open.

The server says so with every answer. PyMySQL and aiomysql, its asynchronous form, keep that flag from an OK packet and
discard it from the end of a result set, so the latter is stored for the duration of the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.drivers import kit

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.drivers._importlib_bootstrap.shapes import Identify, Target
    from whoholds.ledger.database import Database

_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_END = "_whoholds_end"  # attribute of a connection: the server's status at the end of the result set read last


def after_ok(connection: Any) -> bool:
    """Whether a transaction is open after a call that the server answered with an OK packet."""
    connection.__dict__.pop(_END, None)
    return bool(connection.server_status & _IN_TRANSACTION)


def in_transaction(connection: Any) -> bool:
    """Whether a transaction is open after a call that may have read a result set."""
    end = connection.__dict__.pop(_END, None)
    return bool((connection.server_status if end is None else end) & _IN_TRANSACTION)


def was_in_transaction(connection: Any) -> bool:
    """Whether the server said with its last answer that a transaction is open; nothing of it is discarded."""
    return bool((connection.server_status or 0) & _IN_TRANSACTION)


def end_of_result(original: Any) -> Any:
    """`MySQLResult._check_packet_is_eof`, wrapped: the status in the last packet is stored on the connection."""

    def packet_of(_result: Any, args: Any, _kwargs: Any, _frame: Any) -> Any:
        return args[0]

    def note_status(result: Any, packet: Any, end: Any, _frame: Any) -> None:
        if end and result.connection is not None:
            result.connection.__dict__[_END] = packet.get_all_data()[3]  # 0xfe, warnings (2 bytes), status (2)

    return kit.around(original, packet_of, note_status, framed=False)  # each row passes here


def identified_by(target: Target, number_of: Callable[[Any], Any]) -> Identify:
    """Which database a connection leads to, which its arguments say, and its number at the server, if it has one."""

    def identify(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Database, int | None]:
        return target(connection, args, kwargs), number_of(connection)

    return identify
