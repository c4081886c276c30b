"""Which database: as the client names it, one value for all that is opened to it, never a password."""

from __future__ import annotations

from _weakref import ref

try:
    from _functools import partial  # type: ignore[import-not-found]  # functools brings half of the standard library
except ImportError:  # not CPython, where nothing is watched
    from functools import partial

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any


class Database:
    """One database as the client names it; never a password. `private` tells apart those that only one can see."""

    __slots__ = ("__weakref__", "host", "name", "port", "private", "system", "text", "user")

    def __init__(
        self,
        system: str,
        user: str = "",
        host: str = "",
        port: int | None = None,
        name: str = "",
        *,
        private: bool = False,
    ) -> None:
        self.system = system
        self.user = user = _shown(user, "/:=@")
        self.host = host = _shown(host, "=@")
        self.port = port
        self.name = name = _shown(name, "=@")
        self.private = private
        where = address(host, port)
        where = f"{user}@{where}" if user else where
        self.text = f"{system}://{where}/{name}"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Database({self.text!r})"

    @property
    def server(self) -> str:
        """The server alone, `system://host:port`: what has a limit of its own. A file is its own server."""
        if not self.host:
            return self.text
        return f"{self.system}://{address(self.host, self.port)}"


def address(host: str, port: int | str | None) -> str:
    """`db.example:5432`, `[::1]:5432`, and without a port `[::1]`: as a URL has it."""
    host = f"[{host}]" if ":" in host and _is_ipv6(host) else host
    return f"{host}:{port}" if port else host


def _is_ipv6(host: str) -> bool:
    """True for an address of IPv6 without brackets, and not for `db1:5432,db2`, which libpq takes for a host, too."""
    return host.count(":") > 1 and "[" not in host and "," not in host


def _shown(part: str, marks: str) -> str:
    """A part without the secrets that a program has put into it, as in `dbname="postgresql://app:secret@h/shop"`.

    Control characters become visible. What has none of them and none of the marks is as it came: reading the patterns
    is for the strange ones, once for each database.
    """
    if not part.isprintable():
        from whoholds.text.visible import visible  # likewise there

        part = visible(part)
    for mark in marks:
        if mark in part:
            from whoholds.text.redact import redact_part  # there since the watch began: nothing is read from disk

            return redact_part(part, user="/" in marks)
    return part


_databases: dict[tuple[Any, ...], ref[Database]] = {}  # one C call per change; each goes with its last handle


def database(system: str, user: str = "", host: str = "", port: int | None = None, name: str = "") -> Database:
    """The one Database with these values while anybody has it, so that handles are grouped by identity."""
    key = (system, user, host, port, name)
    known = _databases.get(key)
    found = known() if known is not None else None
    if found is None:
        found = Database(system, user, host, port, name)
        # pop(key, reference): called with the reference for its default
        first = _databases.setdefault(key, ref(found, partial(_databases.pop, key)))()
        found = first if first is not None else found
    return found
