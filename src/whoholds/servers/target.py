"""What a connection string names: a URL, or libpq's `key=value …`."""

from __future__ import annotations

import shlex
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from whoholds.ledger.database import address

_FORM = "the connection string is not understood: it is a URL, or has the form host=… dbname=…"
_PORT = f"{_FORM}; its port is a number from 1 to 65535"  # without what it got, which may be a password without a host
_SYSTEMS = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


class CannotAsk(Exception):  # noqa: N818 - it is what happened; said in one line
    """There is no library to ask with, or the connection string is not understood."""


class Target(NamedTuple):
    """What a connection string names; "" and None where it is silent, and the library's defaults hold."""

    system: str
    library: str  # "psycopg2" in postgresql+psycopg2://
    user: str
    password: str
    host: str
    port: int | None
    name: str
    dsn: str  # the string for libpq

    def to(self, name: str) -> str:
        """A URL of this server's database `name`, without the password."""
        return f"{self.system}://{self.shown.rpartition('/')[0]}/{name}"

    @property
    def shown(self) -> str:
        """The target without its password."""
        at = address(self.host or "localhost", self.port)
        return f"{f'{self.user}@' if self.user else ''}{at}/{self.name}"


def target_of(dsn: str) -> Target:
    """The target of a URL or of libpq's `key=value …`. Raises `CannotAsk`."""
    try:
        return _of_url(dsn) if "://" in dsn else _of_pairs(dsn)
    except ValueError:
        raise CannotAsk(_FORM) from None


def _of_url(dsn: str) -> Target:
    parts = urlsplit(dsn.replace("#", "%23"))  # a DSN has no fragment, but a password may have a #
    if "@" in parts.path:  # whatever stands before it may be a password
        raise CannotAsk("the connection string is not understood: in a user name or password, write %2F for /")
    system, _, library = parts.scheme.partition("+")
    if system not in _SYSTEMS:
        raise CannotAsk("only PostgreSQL and MySQL can be asked: postgresql://… or mysql://…")
    pairs = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": _port_text(parts),
        "dbname": unquote(parts.path[1:]),
    }
    pairs |= {key: unquote(value) for key, _, value in (pair.partition("=") for pair in parts.query.split("&"))}
    return _target(_SYSTEMS[system], library, pairs, f"{system}{dsn[len(parts.scheme) :]}")


def _port_text(parts: SplitResult) -> str:
    try:
        return str(parts.port or "")
    except ValueError:
        raise CannotAsk(_PORT) from None


def _of_pairs(dsn: str) -> Target:
    pairs = {}
    for pair in shlex.split(dsn.replace(" = ", "=")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CannotAsk(_FORM)
        pairs[key] = value
    return _target("postgresql", "", pairs, dsn)


def _target(system: str, library: str, pairs: dict[str, str], dsn: str) -> Target:
    """The target of libpq's words for its parts. Raises `CannotAsk` for a port that is no number."""
    user, password, host, port, name = (pairs.get(key, "") for key in ("user", "password", "host", "port", "dbname"))
    if port and not (port.isdecimal() and 0 < int(port) < 1 << 16):
        raise CannotAsk(_PORT)
    return Target(system, library, user, password, host, int(port) if port else None, name, dsn)
