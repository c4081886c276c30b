"""The plug-in points as types: a driver, an output, a rule and a predicate, each with what it promises.

Third parties import from this module and from `whoholds.drivers.kit`, and register their plug-ins by entry point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from whoholds.analysis.finding import ERROR, INFO, WARNING, Finding, Look, Part, parts_of
from whoholds.analysis.rules import Rule
from whoholds.analysis.snapshot import Snapshot
from whoholds.ledger.handle import Handle
from whoholds.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from whoholds.limits import Limits

__all__ = [
    "ERROR",
    "INFO",
    "WARNING",
    "Detector",
    "Driver",
    "Finding",
    "Handle",
    "Ledger",
    "Look",
    "Output",
    "OutputMaker",
    "OutputOptions",
    "OwnRule",
    "Part",
    "Predicate",
    "Rule",
    "Snapshot",
    "is_quiet_in_blocks",
    "name_of",
    "parts_of",
]

Driver: TypeAlias = "Callable[[Ledger], AbstractContextManager[None]]"
"""Watches one library while its block lasts, and gives every name back at the end of the block.

Entered in the thread that starts the watch, or in the one that imports the library. A driver that raises when it is
entered is skipped, and that is said. Entry-point group `whoholds.drivers`; the entry's name is the module to wait for.
"""

Detector: TypeAlias = "Callable[[Snapshot, Limits], Iterable[Finding]]"
"""Finds one rule. It changes nothing, reads no clock, and gives equal findings for the same snapshot.

Called by the thread that ticks, once a look. A detector that raises is skipped for that look, and that is said.
"""


class OwnRule(NamedTuple):
    """A third party's rule: its row of properties, which the rest of whoholds reads, and its detector.

    Entry-point group `whoholds.rules`; the entry's name is the rule's name.
    """

    row: Rule
    detector: Detector


Predicate: TypeAlias = "Callable[[Finding], bool]"
"""Whether a finding is intentional, and shall not be reported. Given to `whoholds.ignore`.

Called by the thread that ticks. A predicate that raises counts as "no", and that is said once, with its line.
"""

Output: TypeAlias = "Callable[[Look], None]"
"""Reports what a look brought: its findings, what ended since the look before, the snapshot they come from.

Called by the thread that ticks, once a look, and by no other. An output that raises is switched off, and that is said.
It may have these attributes, which `OutputOptions` lists:

- `name: str`, what it is called in what whoholds says of it; without one, its class's or function's name;
- `dropped: int`, how many lines or records it could not keep; the last remarks say so;
- `begin(ledger) -> None`, called once, before a driver stands anywhere: to listen to the ledger itself;
- `silent: bool`, true while what it is given reaches nobody: where no other output is left, stderr takes over;
- `quiet_in_blocks: bool`, true for an output that is not used by `with whoholds.watch():` and in a test suite, where
  findings are raised as warnings or reported with their test.
"""

OutputMaker: TypeAlias = "Callable[[Limits], Output]"
"""Makes an output from the settings. What it raises keeps that output alone from being used, and is said.

A row of `limits.OUTPUTS` for those that whoholds brings; entry-point group `whoholds.outputs` for all others, where
the entry's name is what WHOHOLDS=… takes.
"""


class OutputOptions(Protocol):
    """The optional attributes of an `Output`, which may have any, all or none of them."""

    name: str
    dropped: int
    silent: bool
    quiet_in_blocks: bool

    def begin(self, ledger: Ledger) -> None:
        """Listen to the ledger, if the output needs to. Called once, in the thread that starts the watch."""


def name_of(output: Any) -> str:
    """The name of an output, driver or predicate in whoholds' messages about it."""
    name = getattr(output, "name", None) or getattr(output, "__qualname__", None)
    return name if isinstance(name, str) else type(output).__qualname__


def is_quiet_in_blocks(output: Any) -> bool:
    """Whether `output` is not used in a block or a test suite, where findings are warnings or test reports."""
    return bool(getattr(output, "quiet_in_blocks", False))
