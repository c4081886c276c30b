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

    from whoholds.settings.limits import Limits

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
"""Watches one library while its block lasts, and restores every name at the end of the block.

It is entered in the thread that starts the watch, or in the thread that imports the library. A driver that raises when
it is entered is skipped, and whoholds says so. Entry-point group `whoholds.drivers`; the name of the entry is the
module to wait for.
"""

Detector: TypeAlias = "Callable[[Snapshot, Limits], Iterable[Finding]]"
"""Finds the findings of one rule. It changes nothing, reads no clock, and returns equal findings for equal snapshots.

whoholds's own thread calls it once for each look. A detector that raises is skipped for that look, and whoholds says
so.
"""


class OwnRule(NamedTuple):
    """A third party's rule: its row of properties, which the rest of whoholds reads, and its detector.

    Entry-point group `whoholds.rules`; the entry's name is the rule's name.
    """

    row: Rule
    detector: Detector


Predicate: TypeAlias = "Callable[[Finding], bool]"
"""Says whether a finding is intentional, so that it is not reported. You give it to `whoholds.ignore`.

whoholds's own thread calls it. A predicate that raises counts as "no", and whoholds names its line once.
"""

Output: TypeAlias = "Callable[[Look], None]"
"""Reports a look: its findings, the handles that ended since the look before, and the snapshot that both come from.

Only whoholds's own thread calls it, once for each look. An output that raises is switched off, and whoholds says so. It
may have these attributes, which `OutputOptions` lists:

- `name: str`, its name in messages of whoholds; without it, the name of the class or function is used;
- `dropped: int`, the number of lines or records that it could not keep; whoholds reports the number at the end;
- `begin(ledger) -> None`, which is called once, before any driver is entered, so that the output can listen to the
  ledger itself;
- `silent: bool`, true while nobody gets what the output is given; if no other output is left, findings go to stderr;
- `quiet_in_blocks: bool`, true for an output that is not used in `with whoholds.watch():` and in a test suite, where
  findings are raised as warnings or reported with their test.
"""

OutputMaker: TypeAlias = "Callable[[Limits], Output]"
"""Makes an output from the settings. If it raises, this output alone is not used, and whoholds says so.

The makers of whoholds's own outputs are in `limits.OUTPUTS`. The others are in the entry-point group
`whoholds.outputs`; the name of the entry is a value for `WHOHOLDS=…`.
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
