"""Runs inside a process that `whoholds attach` enters: brings whoholds in, does what was asked, and writes the answer.

The text of this file is the script, followed by one call of `run`. The process's main thread runs it between two
instructions of the program's, in a namespace of its own. It must not raise, and must leave nothing behind but what was
asked for. It imports the standard library alone before it has found whoholds.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Finder:
    """Finds the top-level packages `places`, each in one folder, and no other package that lies there."""

    def __init__(self, places: dict[str, str]) -> None:
        self.places = places

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of one of the packages; None for any other name."""
        return PathFinder.find_spec(name, [self.places[name]], target) if path is None and name in self.places else None


def run(order: dict[str, Any]) -> None:
    """Do what `order` says, and write the answer into its folder; nothing if whoever asks has gone meanwhile."""
    part, whole = (os.path.join(order["folder"], name) for name in ("answer.part", "answer.json"))
    try:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        with os.fdopen(file, "w", encoding="utf-8") as answer:
            json.dump(answer_to(order), answer, default=str)
        os.rename(part, whole)  # noqa: PTH104 - pathlib may not be imported in it
    except OSError:  # a full disk, or whoever asks has gone meanwhile and has taken the folder away
        pass


def answer_to(order: dict[str, Any]) -> dict[str, Any]:
    """What the function of `whoholds.remote.attached` that the order names has returned, or why it did not."""
    modules, folders = set(sys.modules), set(sys.path_importer_cache)
    finder = Finder({name: place for name, place in order["places"].items() if name not in sys.modules})
    sys.meta_path.insert(0, finder)
    answer: dict[str, Any] = {}
    try:
        from whoholds.remote import attached

        answer = getattr(attached, order["what"])()
    except Exception as error:  # noqa: BLE001 - nothing of it may reach the program
        answer = {"type": "fault", "reason": f"{type(error).__name__}: {error}"}
    finally:
        sys.meta_path.remove(finder)
        if not answer.get("stays"):
            for name in set(sys.modules) - modules:
                if name.partition(".")[0] in order["places"]:
                    del sys.modules[name]
            for folder in set(sys.path_importer_cache) - folders:
                sys.path_importer_cache.pop(folder, None)
    return answer
