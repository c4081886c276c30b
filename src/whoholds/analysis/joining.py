"""Which findings are about the same handles: they are one matter, and are reported together.

The ticking thread and the end of a test run this. Its memory is bounded, and it keeps no handle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from whoholds.analysis.rules import rule_of
from whoholds.ledger import faults

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding

MOST: Final = 20_000  # handles that are remembered, the latest
PER_FINDING: Final = 100  # handles of one finding that are looked at


class Joining:
    """The matter of each handle that a finding has named."""

    def __init__(self) -> None:
        self._matters: dict[int, str] = {}  # by the stamp of a handle's opening

    def matter_of(self, finding: Finding, default: str) -> str:
        """The matter that the handles of `finding` belong to, or else `default`. All of its handles join that matter.

        Of a finding with parts, the handles of the largest part count. A finding of a rule that is `of_its_own` gets
        `default`.
        """
        if rule_of(finding.rule).of_its_own:
            return default
        try:
            stamps = [handle.opened_stamp for handle in finding.in_order[:PER_FINDING]]
        except Exception as error:  # noqa: BLE001 - a finding of a third party's detector: it is a matter of its own
            faults.note(error, "whoholds.look")
            return default
        matter = next((self._matters[stamp] for stamp in stamps if stamp in self._matters), default)
        for stamp in stamps:
            self._matters.setdefault(stamp, matter)
        while len(self._matters) > MOST:
            del self._matters[next(iter(self._matters))]
        return matter

    def forget(self) -> None:
        """Forget every handle."""
        self._matters.clear()
