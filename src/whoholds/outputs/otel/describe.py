"""Attributes of spans and log records for databases, lines, stacks and owners. They are made once and kept.

This module must not decide what is reported, or let out text that was not redacted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.analysis.frames import frames
from whoholds.ledger.database import address
from whoholds.outputs.otel import names
from whoholds.text.redact import shown_name

if TYPE_CHECKING:
    from whoholds.analysis.sites import Site
    from whoholds.ledger.database import Database
    from whoholds.ledger.origin import Origin
    from whoholds.ledger.owner import Owner

    Attributes = dict[str, Any]

KEPT = 500  # stacks, and databases, whose attributes are kept

_databases: dict[str, Attributes] = {}  # by the database's text: all databases in memory share an entry
_stacks: dict[tuple[int, ...], tuple[Origin, str]] = {}  # the origin keeps alive the code objects whose ids are the key


def of_database(database: Database) -> Attributes:
    """The `db.*`, `server.*` and `network.*` attributes of the database. The caller must not change the dict."""
    attributes = _databases.get(database.text)
    if attributes is None:
        if len(_databases) >= KEPT:
            _databases.clear()
        attributes = _databases[database.text] = _database(database)
    return attributes


def _database(database: Database) -> Attributes:
    attributes: Attributes = {names.SYSTEM: database.system}
    if database.name:
        attributes[names.NAMESPACE] = database.name
    host = database.host
    if host:
        attributes[names.SERVER] = host
        if not names.is_default_port(database.system, database.port):
            attributes[names.PORT] = database.port
        if _is_address(host):  # only the client library knows the address of a host name
            attributes[names.PEER] = host
            if database.port and not host.startswith("/"):
                attributes[names.PEER_PORT] = database.port
    return attributes


def _is_address(host: str) -> bool:
    return host.startswith("/") or ":" in host or host.replace(".", "").isdigit()


def label_of(database: Database) -> str:
    """`server.address:server.port/db.namespace`, which stands for the pool's name if there is no pool."""
    if not database.host:
        return database.name or database.system
    return f"{address(database.host, database.port)}/{database.name}"


def of_lines(site: Site | None, spawned: Site | None) -> Attributes:
    """The attributes `code.*` of the opening line and `whoholds.spawn.*` of the spawn line."""
    attributes: Attributes = {}
    if site is not None and site.origin:
        frame = site.frame
        attributes |= {names.FUNCTION: frame.function, names.FILE: frame.file, names.LINE: frame.line}
    if spawned is not None and spawned.origin:
        frame = spawned.frame
        attributes |= {
            names.SPAWN_FUNCTION: frame.function,
            names.SPAWN_FILE: frame.file,
            names.SPAWN_LINE: frame.line,
        }
    return attributes


def stack(origin: Origin, *, source: bool) -> str:
    """The opening stack as Python prints a traceback, innermost frame last; with `source`, it has source lines."""
    key = tuple([part if type(part) is int else id(part) for part in origin])
    printed = _stacks.get(key)
    if printed is None:
        if len(_stacks) >= KEPT:
            _stacks.clear()
        printed = _stacks[key] = (origin, _printed(origin, source=source))
    return printed[1]


def _printed(origin: Origin, *, source: bool) -> str:
    lines = []
    for frame in reversed(frames(origin, source=source)):
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        if frame.source:
            lines.append(f"    {frame.source}")
    return "\n".join(lines)


def of_owner(owner: Owner | None) -> Attributes:
    """The attributes `thread.*` of the owner's thread, and the kind and name of the owner; empty for None."""
    if owner is None:
        return {}
    attributes: Attributes = {
        names.THREAD_ID: owner.ident,
        names.OWNER_KIND: owner.kind,
        names.OWNER_NAME: shown_name(owner.name),
    }
    if owner.thread_name:
        attributes[names.THREAD_NAME] = shown_name(owner.thread_name)
    return attributes
