"""Rules: the names of what can be found."""

from __future__ import annotations

RULES = (
    "left-open",
    "collected-open",
    "owner-gone",
    "held-too-long",
    "idle-in-transaction",
    "cursor-left-open",
    "too-many-at-once",
    "connect-storm",
    "second-while-holding",
    "shared-at-once",
    "shared-across-fork",
    "refused",
    "growing",
    "given-back",
)

BITS = {rule: 1 << place for place, rule in enumerate(RULES)}  # what `Handle.told` is made of
