"""Asks the server of a fleet with the command, and compares the answer with what is true, connection by connection."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from whoholds.servers.asking import asked
from whoholds.servers.target import target_of
from whoholds.servers.telling import as_data, lines_of

if TYPE_CHECKING:
    from tests.fleet.running import Server, Truth


class Answer(NamedTuple):
    """What the command has said, and how long it took in seconds."""

    data: dict[str, Any]
    text: list[str]
    command_s: float  # the command, from the start of its Python to its end
    look_s: float  # the queries alone
    told_s: float  # the words

    @property
    def data_bytes(self) -> int:
        return len(json.dumps(self.data))


def ask(server: Server) -> Answer:
    """Ask with the command, in a process of its own, and once more from here to time its parts."""
    began = time.perf_counter()
    data = json.loads(printed(server, "--json"))
    command_s = time.perf_counter() - began
    with asked(target_of(server.dsn)) as look:
        look()  # the first reads the server's catalogues
        began = time.perf_counter()
        state = look()
        look_s = time.perf_counter() - began
    began = time.perf_counter()
    text = list(lines_of(state))
    as_data(state)
    return Answer(data, text, command_s, look_s, time.perf_counter() - began)


def printed(server: Server, *options: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "whoholds", "server", server.dsn, *options]
    return subprocess.run(command, capture_output=True, check=True, timeout=60, encoding="utf-8").stdout


def wrong(answer: Answer, truth: Truth, slots: int) -> list[str]:
    """In what the answer differs from the truth, in words; nothing if it is right to the slot and the line."""
    data = answer.data
    lines: dict[Any, Counter[str]] = {}
    hosts: dict[Any, Counter[str]] = {}
    for group in data["groups"]:
        line = (group["program"], group["opened"])
        lines.setdefault(line, Counter()).update(group["states"])
        hosts.setdefault(line, Counter()).update(group["hosts"])
    blocked: dict[str, list[int]] = {}
    for tree in data["blocking"]:
        blocked.setdefault(tree["opened"], []).extend([tree["blocks"]] * len(tree["pids"]))
    seen = {
        "slots": (data["slots"], slots),
        "used": (data["used"], truth.connections + 1),
        "hidden": (data["hidden"], 0),
        "lines": (lines, truth.lines),
        "hosts": (hosts, truth.hosts),
        "blocking": ({line: sorted(many, reverse=True) for line, many in blocked.items()}, truth.blocked),
    }
    return [f"{what}: {said}, and not {true}" for what, (said, true) in seen.items() if said != true]
