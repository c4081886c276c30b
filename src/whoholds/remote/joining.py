"""Joins what a server says of its connections with what the watched processes of this machine say of theirs.

Both know the number that the server gave the connection. Two servers may give the same one, so the address, the user
and the database must be the same, too.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from whoholds.remote.asking import OTHER_FORM
from whoholds.remote.polling import polling, settle
from whoholds.remote.processes import watched_processes
from whoholds.reporting.words import STANDARD_PORTS
from whoholds.servers.state import Holder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.servers.state import Session, State
    from whoholds.servers.target import Target

WAIT_S = 3.0  # for all of them; a process answers at its next look, which it takes each second by default
_SILENT = "{} of the {} watched processes of this machine did not answer, so who holds their connections is not shown."
_HERE = "(here)"

Key = tuple[int, str, str]


def joined(state: State, target: Target) -> State:
    """The state, whose connections have their holders as far as watched processes of this machine hold them.

    All processes are asked at once. How many of them did not answer within `WAIT_S` is a remark.
    """
    processes = _processes() if state.numbered and state.sessions else []
    if not processes:
        return state
    with polling(lambda: processes, patience_s=WAIT_S, once=True) as poller:
        answers, silent = settle(poller).descriptions, len(poller.silent)
    holders = dict(holder for answer in answers.items() for holder in _holders(answer, target))
    sessions = tuple(_with_holder(session, holders) for session in state.sessions)
    remarks = (*state.remarks, *((_SILENT.format(silent, len(processes)),) if silent else ()))
    return state._replace(sessions=sessions, remarks=remarks)


def _processes() -> list[int]:
    try:
        return [pid for pid in watched_processes() if pid != os.getpid()]
    except OSError:  # a system without /proc
        return []


def _with_holder(session: Session, holders: dict[Key, Holder]) -> Session:
    return session._replace(holder=holders.get((session.pid, session.user, session.database)))


def _holders(answer: tuple[int, dict[str, Any]], target: Target) -> Iterator[tuple[Key, Holder]]:
    """The holders of connections to that server, by number, user and database. Nothing of an answer in another form."""
    pid, said = answer
    try:
        yield from [
            ((int(holder["backend_pid"]), user, name), _holder(pid, group, holder))
            for database in said["databases"]
            for user, name in _same_server(database["database"], target)
            for group in database["groups"]
            for holder in group["holders"]
            if holder["backend_pid"] is not None
        ]
    except OTHER_FORM:
        return


def _holder(pid: int, group: dict[str, Any], holder: dict[str, Any]) -> Holder:
    return Holder(
        process=pid,
        kind=str(group["kind"]),
        opened=str(group.get("referrer") or _line(group["opened"])),
        owner=str(holder["name"] or ""),
        work=str(holder["work"] or ""),
        now=_line(holder["now"]),
        held_s=float(holder["held_s"]),
    )


def _line(line: dict[str, Any] | None) -> str:
    return f"{line['place']} in {line['function']}" if line else ""


def _same_server(text: str, target: Target) -> Iterable[tuple[str, str]]:
    """The user and the database in `system://user@host:port/name`, if that leads to the target's server."""
    system, _, rest = text.partition("://")
    login, _, address = rest.rpartition("@")
    address, _, name = address.rpartition("/")
    host, port = _host_and_port(address)
    theirs = _place(host, int(port or STANDARD_PORTS.get(target.system, 0)))
    ours = _place(target.host, target.port or STANDARD_PORTS.get(target.system, 0))
    systems = {"mariadb": "mysql"}
    if systems.get(system, system) == target.system and not theirs.isdisjoint(ours):
        yield unquote(login), unquote(name)


def _host_and_port(address: str) -> tuple[str, str]:
    """`db.example` and `5432` of `db.example:5432`; the port is "" if there is none. IPv6 stands in brackets."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        return host, port[1:]
    host, colon, port = address.rpartition(":")
    return (host, port) if colon and port.isdecimal() else (address, "")


def _place(host: str, port: int) -> set[tuple[str, int]]:
    """The addresses of a server: several for a name that has several; all of this machine's own loopback are one."""
    if not host or host.startswith("/") or host == "localhost":
        return {(_HERE, port)}
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        addresses = {host}
    return {(_HERE if at.startswith("127.") or at == "::1" else at, port) for at in addresses}
