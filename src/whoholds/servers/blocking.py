"""Who blocks whom on a server, as trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whoholds.servers.state import shown

if TYPE_CHECKING:
    from whoholds.servers.state import Session, State


class Tree:
    """A connection and those that wait for it, each at its shortest distance."""

    def __init__(self, pid: int, session: Session | None) -> None:
        self.pid = pid
        self.session = session  # None for what the server does not list
        self.waiting: list[Tree] = []

    @property
    def blocks(self) -> int:
        """How many wait for it, directly or not."""
        return sum(1 + after.blocks for after in self.waiting)

    def as_data(self) -> dict[str, Any]:
        """The tree for `--json`."""
        one = self.session
        return {
            "pid": self.pid,
            "program": shown(one.program) if one else None,
            "opened": (shown(one.line) or None) if one else None,
            "host": (one.host or None) if one else None,
            "state": one.state if one else None,
            "state_s": one.state_s if one else None,
            "blocks": self.blocks,
            "waiting": [after.as_data() for after in self.waiting],
        }


def trees_of(state: State) -> list[Tree]:
    """Who blocks whom, those first that block most. At the top of a circle stands its smallest pid."""
    waiting: dict[int, list[Session]] = {}
    for one in state.sessions:
        for pid in one.blocked_by:
            waiting.setdefault(pid, []).append(one)
    known = {one.pid: one for one in state.sessions}
    trees: list[Tree] = []
    reached = set[int]()
    free = sorted(pid for pid in waiting if pid not in known or not known[pid].blocked_by)
    for pid in (*free, *sorted(set(waiting) - set(free))):
        if pid in free or pid not in reached:
            trees += [_tree(pid, known, waiting, reached)]
    return sorted(trees, key=lambda tree: (-tree.blocks, tree.pid))


def _tree(pid: int, known: dict[int, Session], waiting: dict[int, list[Session]], reached: set[int]) -> Tree:
    """The tree below `pid`; the pids in it are added to `reached`."""
    top = Tree(pid, known.get(pid))
    seen, level = {pid}, [top]
    while level:
        below: list[Tree] = []
        for tree in level:
            for one in waiting.get(tree.pid, ()):
                if one.pid not in seen:
                    seen.add(one.pid)
                    tree.waiting.append(Tree(one.pid, one))
            below += tree.waiting
        level = below
    reached |= seen
    return top
