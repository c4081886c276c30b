"""Who blocks whom on a server, as trees and in words.

Connections of one line that do the same are one node: a queue of a hundred is a line to read, not a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.reporting.words import roughly
from whoholds.servers.holders import holder_lines, holders_data
from whoholds.servers.state import RUNNING, shown
from whoholds.servers.words import hosts_of, label, largest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from whoholds.servers.state import Session, State

    Waiting = dict[int, list[Session]]

_HOLDERS = 2  # lines on the holders of one node
_PIDS = 3  # processes named for one node
_IN_TREE, _IN_ALL = 10, 20  # lines of one tree, and of all


class Tree:
    """Connections of one line, and those that wait for them, each at its shortest distance.

    All of them block the same connections. `sessions` is empty for a process that the server does not list.
    """

    def __init__(self, pids: list[int], sessions: list[Session]) -> None:
        self.pids = pids
        self.sessions = sessions
        self.waiting: list[Tree] = []
        self.blocks = 0  # how many connections wait for each of them, directly or not

    @property
    def kind(self) -> tuple[str, ...]:
        """What connections share that are one node."""
        first = self.sessions[0] if self.sessions else None
        return (first.name or f"\0{first.user}\0{first.database}", first.state) if first else ("", str(self.pids))

    def merged(self) -> None:
        """Count who waits, and make one node of those that wait for the same and block nobody."""
        nodes: dict[object, Tree] = {}
        for after in self.waiting:
            node = nodes.setdefault(id(after) if after.waiting else after.kind, after)
            if node is not after:
                node.pids += after.pids
                node.sessions += after.sessions
        self.waiting = list(nodes.values())
        self.blocks = sum(len(after.pids) + after.blocks for after in self.waiting)

    def as_data(self) -> dict[str, Any]:
        """The tree for `--json`."""
        first = self.sessions[0] if self.sessions else None
        return {
            "pids": sorted(self.pids),
            "program": shown(first.program) if first else None,
            "opened": (shown(first.line) or None) if first else None,
            "hosts": dict(hosts_of(self.sessions).most_common()),
            "state": first.state if first else None,
            "longest_s": largest([session.state_s for session in self.sessions]),
            "held_by": holders_data(self.sessions),
            "blocks": self.blocks,
            "waiting": [after.as_data() for after in self.waiting],
        }


def trees_of(state: State) -> list[Tree]:
    """Who blocks whom, those first that block most. At the top of a circle stands its smallest pid."""
    waiting: Waiting = {}
    for session in state.sessions:
        for pid in session.blocked_by:
            waiting.setdefault(pid, []).append(session)
    known = {session.pid: session for session in state.sessions}
    free = {pid for pid in waiting if pid not in known or not known[pid].blocked_by}
    tops: dict[object, Tree] = {}
    for pid in sorted(free):
        tree = _node(pid, known)
        top = tops.setdefault((tree.kind, frozenset(session.pid for session in waiting[pid])), tree)
        if top is not tree:
            top.pids += tree.pids
            top.sessions += tree.sessions
    trees, reached = list(tops.values()), set[int]()
    for tree in trees:
        reached |= _grow(tree, waiting)
    for pid in sorted(set(waiting) - free):
        if pid not in reached:
            trees.append(_node(pid, known))
            reached |= _grow(trees[-1], waiting)
    return sorted(trees, key=lambda tree: (-tree.blocks, tree.pids))


def _node(pid: int, known: dict[int, Session]) -> Tree:
    return Tree([pid], [known[pid]] if pid in known else [])


def _grow(top: Tree, waiting: Waiting) -> set[int]:
    """Hang those that wait below `top`, level by level; give all pids of the tree."""
    seen, levels = set(top.pids), [[top]]
    while levels[-1]:
        below: list[Tree] = []
        for tree in levels[-1]:
            for session in waiting.get(tree.pids[0], ()):
                if session.pid not in seen:
                    seen.add(session.pid)
                    tree.waiting.append(Tree([session.pid], [session]))
            below += tree.waiting
        levels.append(below)
    for level in reversed(levels):
        for tree in level:
            tree.merged()
    return seen


def lines_of_trees(trees: list[Tree]) -> Iterator[str]:
    """The trees as a person reads them, the worst first; of many only so many lines as fit on a screen."""
    shown_lines = 0
    for number, tree in enumerate(trees):
        lines = list(_lines([tree], 0))
        shown_lines += min(len(lines), _IN_TREE + 1)
        if number and shown_lines > _IN_ALL:
            yield f"  … and {len(trees) - number} more that block others, which --json lists"
            return
        yield from lines[:_IN_TREE]
        if len(lines) > _IN_TREE:
            yield f"      … and {len(lines) - _IN_TREE} more, which --json lists"


def _lines(trees: Iterable[Tree], depth: int) -> Iterator[str]:
    for tree in trees:
        yield f"  {'    ' * depth}{_who(tree)}"
        yield from holder_lines(tree.sessions, f"  {'    ' * depth}  ", _HOLDERS)
        yield from _lines(tree.waiting, depth + 1)


def _who(tree: Tree) -> str:
    many = len(tree.pids) > 1
    blocks = f", {'and block' if many else 'blocks'} {tree.blocks}" if tree.waiting else ""
    if not tree.sessions:  # a prepared transaction has 0
        (pid,) = tree.pids
        return f"{f'process {pid}' if pid else 'a prepared transaction, which has no process'}{blocks}"
    first, longest_s = tree.sessions[0], largest([session.state_s for session in tree.sessions])
    waits = first.state == RUNNING and first.blocked_by
    since = f"{', the longest' if many else ''} for {roughly(longest_s)}" if longest_s is not None else ""
    if not many:
        doing = "waits for a lock" if waits else first.state
        return f"{label(tree.sessions)}, {doing}{since}{blocks} (process {first.pid})"
    doing = "wait for a lock" if waits else f"are {first.state}"
    pids = ", ".join(map(str, sorted(tree.pids)[:_PIDS])) + (", …" if len(tree.pids) > _PIDS else "")
    return f"{label(tree.sessions)}: {len(tree.pids)} {doing}{since}{blocks} (processes {pids})"
