"""Joins what a server says of its connections with what the watched processes of this machine say of theirs.

Both know the number that the server gave the connection. Two servers may give the same one, so the address, the user
and the database must be the same, too.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from whoholds.remote.asking import OTHER_FORM, answer_of
from whoholds.remote.exchange import NoAnswer, tidy_at_signals
from whoholds.remote.processes import NoProcess, process_of, watched_processes
from whoholds.reporting.words import STANDARD_PORTS
from whoholds.servers.state import Holder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.servers.state import Session, State
    from whoholds.servers.target import Target

MOST = 30  # processes that are asked
WAIT_S = 3.0  # for each; a process answers at its next look, which it takes each second by default
_HERE = "(here)"

Key = tuple[int, str, str]


def joined(state: State, target: Target) -> State:
    """The state, whose connections have their holders as far as watched processes of this machine hold them."""
    processes = _processes() if state.numbered and state.sessions else []
    if len(processes) > MOST:
        many = f"{len(processes)} watched processes run on this machine, too many to ask each of them who holds what:"
        return state._replace(remarks=(*state.remarks, many, "    whoholds dump PID"))
    if not processes:
        return state
    with tidy_at_signals():
        answers = list(_answers(processes))
    holders = dict(holder for answer in answers for holder in _holders(answer, target))
    return state._replace(sessions=tuple(_with_holder(session, holders) for session in state.sessions))


def _processes() -> list[int]:
    try:
        return [pid for pid in watched_processes() if pid != os.getpid()]
    except OSError:  # a system without /proc
        return []


def _with_holder(session: Session, holders: dict[Key, Holder]) -> Session:
    return session._replace(holder=holders.get((session.pid, session.user, session.database)))


def _answers(processes: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the processes say, without those that do not answer. Other users' are asked one by one, as that forks."""
    others = [pid for pid in processes if not _is_mine(pid)]
    mine = [pid for pid in processes if pid not in others]
    answers = list(map(_answer, others))
    if mine:
        with ThreadPoolExecutor(len(mine)) as threads:
            answers += threads.map(_answer, mine)
    return ((pid, answer) for pid, answer in zip((*others, *mine), answers, strict=True) if answer is not None)


def _is_mine(pid: int) -> bool:
    try:
        process = process_of(pid)
    except NoProcess:
        return True
    return process.uid == os.geteuid() and not process.root


def _answer(pid: int) -> dict[str, Any] | None:
    try:
        return answer_of(pid, WAIT_S)
    except (NoAnswer, OSError):
        return None


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
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        host, port = address, ""
    theirs = _place(host, int(port or STANDARD_PORTS.get(target.system, 0)))
    ours = _place(target.host, target.port or STANDARD_PORTS.get(target.system, 0))
    systems = {"mariadb": "mysql"}
    if systems.get(system, system) == target.system and not theirs.isdisjoint(ours):
        yield unquote(login), unquote(name)


def _place(host: str, port: int) -> set[tuple[str, int]]:
    """The addresses of a server: several for a name that has several; all of this machine's own loopback are one."""
    if not host or host.startswith("/") or host == "localhost":
        return {(_HERE, port)}
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        addresses = {host}
    return {(_HERE if at.startswith("127.") or at == "::1" else at, port) for at in addresses}
