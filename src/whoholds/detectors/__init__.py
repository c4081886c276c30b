"""Detectors: pure functions from a Snapshot and the Limits to findings. Each is named after its rule.

A detector must not change anything, read a clock or call other people's code: the same snapshot always gives the same
findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.detectors.growing import growing
from whoholds.detectors.idle import cursor_left_open, held_too_long, idle_in_transaction
from whoholds.detectors.left import collected_open, given_back, left_open, owner_gone
from whoholds.detectors.locks import locked
from whoholds.detectors.refused import refused
from whoholds.detectors.sharing import second_while_holding, shared_across_fork, shared_at_once
from whoholds.detectors.storm import connect_storm
from whoholds.detectors.too_many import too_many_at_once
from whoholds.detectors.waiting import waiting_too_long

if TYPE_CHECKING:
    from whoholds.plugins import Detector

# Rule → its detector. Rules about a failure of this moment come first, because findings are reported in this order.
ALL: dict[str, Detector] = {
    "refused": refused,
    "waiting-too-long": waiting_too_long,
    "locked": locked,
    "too-many-at-once": too_many_at_once,
    "shared-across-fork": shared_across_fork,
    "shared-at-once": shared_at_once,
    "second-while-holding": second_while_holding,
    "owner-gone": owner_gone,
    "left-open": left_open,
    "held-too-long": held_too_long,
    "idle-in-transaction": idle_in_transaction,
    "cursor-left-open": cursor_left_open,
    "growing": growing,
    "connect-storm": connect_storm,
    "collected-open": collected_open,
    "given-back": given_back,
}
