"""WHOHOLDS_TAG=1: connections carry the line that opens them, where the library lets a program name its connections.

Each function here wraps a library's connect for one way of naming. Without the setting a driver gets its `original`
back, and nothing is added to it. What the program itself named is never changed, and no statement is sent.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from whoholds.drivers import kit
from whoholds.ledger.here import opened_for
from whoholds.ledger.origin import capture_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.ledger.handle import Pool
    from whoholds.ledger.ledger import Ledger
    from whoholds.ledger.origin import Origin

_NAME = "application_name"  # also a part of `fallback_application_name`
_PROGRAM = "program_name"  # of MySQL's connection attributes
_ATTRIBUTES = 250  # bytes of all connection attributes together that mysql-connector's pure form can send
_LEAST, _MOST = 24, 63  # bytes of a name: less than the first could not hold a line
_PG8000_NAME = 10  # place of `application_name` among the arguments of pg8000's connection, without `self`

# The line of the pool that connects now. Only pools whose drivers do not set `opened_for` need it.
_pools_line: ContextVar[Origin | None] = ContextVar("whoholds_pools_line", default=None)


def _origin(ledger: Ledger) -> Origin:
    """The line for which a connection is being opened: its pool's, or the program's own that connects."""
    by = opened_for.get()
    return (by.origin if by is not None else ()) or _pools_line.get() or capture_own(sys._getframe(1), ledger.frames)


def _is_named(*said: Any) -> bool:
    """Whether the program names its connections itself, in one of these values or in libpq's PGOPTIONS."""
    return any(_NAME in str(one) for one in (*said, os.environ.get("PGOPTIONS", "")) if one)


def in_dsn(original: Callable[..., Any], ledger: Ledger) -> Any:
    """`psycopg2._connect`: adds libpq's `fallback_application_name` to its connection string."""
    make = ledger.tag
    if make is None:
        return original

    def named(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        dsn = args[0] if args else kwargs["dsn"]
        if _is_named(dsn) or not _is_dsn(dsn):
            return args, kwargs
        dsn = with_name(dsn, make(_origin(ledger)))
        return ((dsn, *args[1:]), kwargs) if args else (args, {**kwargs, "dsn": dsn})

    return kit.around(original, arguments=named, method=False)


def _is_dsn(dsn: str) -> bool:
    """Whether psycopg2 can read the string; where it cannot, its message must quote what the program wrote."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parse_dsn(dsn)
    except psycopg2.Error:
        return False
    return True


def with_name(dsn: str, name: str) -> str:
    """The connection string, a URL or `key=value …`, with the name added at its end."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return f"{dsn}{'&' if '?' in dsn else '?'}fallback_{_NAME}={quote(name, safe='')}"
    value = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{dsn} fallback_{_NAME}='{value}'".lstrip()


def in_keywords(original: Callable[..., Any], ledger: Ledger) -> Any:
    """`connect` of psycopg's classes: adds the keyword `fallback_application_name`."""
    make = ledger.tag
    if make is None:
        return original

    def named(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _is_named(*args[1:2], *(kwargs.get(key) for key in ("conninfo", "options")), *_names(kwargs)):
            return args, kwargs
        return args, {**kwargs, f"fallback_{_NAME}": make(_origin(ledger))}

    return kit.around(original, arguments=named, method=False)


def _names(kwargs: dict[str, Any]) -> list[str]:
    return [key for key in kwargs if _NAME in key]


def in_server_settings(original: Callable[..., Any], ledger: Ledger) -> Any:
    """Asyncpg's `_connect`: adds `application_name` to the server's settings."""
    make = ledger.tag
    if make is None:
        return original

    def named(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = kwargs.get("server_settings")
        if _is_named(kwargs.get("dsn"), given):
            return args, kwargs
        return args, {**kwargs, "server_settings": {**(given or {}), _NAME: make(_origin(ledger))}}

    return kit.around(original, arguments=named, method=False)


def in_constructor(original: Callable[..., Any], ledger: Ledger) -> Any:
    """pg8000's `CoreConnection.__init__`: adds the argument `application_name`."""
    make = ledger.tag
    if make is None:
        return original

    def named(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = kwargs.get(_NAME) is not None or len(args) > _PG8000_NAME
        if given or _NAME in (kwargs.get("startup_params") or ()):
            return args, kwargs
        return args, {**kwargs, _NAME: make(_origin(ledger))}

    return kit.around(original, arguments=named)


def in_attributes(original: Callable[..., Any], ledger: Ledger, attribute: str) -> Any:
    """A method of a MySQL connection that connects: adds `program_name` to the attributes that `attribute` holds."""
    make = ledger.tag
    if make is None:
        return original

    def naming(connection: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        attributes = getattr(connection, attribute)
        if _PROGRAM in attributes:
            return
        used = sum(len(str(key).encode()) + len(str(value or "").encode()) + 2 for key, value in attributes.items())
        room = _ATTRIBUTES - used - len(_PROGRAM) - 2
        if room >= _LEAST:
            setattr(connection, attribute, {**attributes, _PROGRAM: make(_origin(ledger), min(room, _MOST))})

    return kit.around(original, naming)


def for_pool(original: Callable[..., Any], ledger: Ledger, pool_of: Callable[[Any], Pool | None]) -> Any:
    """A method of a pool, or of a part of one, that connects: what it opens carries the line of the pool."""
    if ledger.tag is None:
        return original

    def connecting(thing: Any, _args: Any, _kwargs: Any, _frame: Any) -> None:
        pool = pool_of(thing)
        _pools_line.set(pool.origin if pool is not None else None)

    def connected(_thing: Any, _kept: Any, _result: Any, _frame: Any) -> None:
        _pools_line.set(None)

    return kit.around(original, connecting, connected, connected)
