"""The keyword arguments of `start`, `watch` and the pytest marker, for type checkers and editors.

`tests/typing` checks them against `Limits` and the rules, which are what counts when a program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from whoholds.analysis.finding import Finding
    from whoholds.settings.matching import IgnoreRule, Threshold

Seconds: TypeAlias = "float | str"
Number: TypeAlias = "int | str"
Flag: TypeAlias = "bool | str"
Limit: TypeAlias = "float | str | Threshold"  # 60 or "60,600@jobs/*.py"
Path: TypeAlias = "str | PathLike[str]"
Mode: TypeAlias = Literal["off", "report", "error"]
Accepted: TypeAlias = "str | Callable[[Finding], Any]"  # a rule, rule@path-glob[:function], or a function of a finding


class Settings(TypedDict, total=False):
    """Every setting by its name; docs/settings.md says what each of them means. Text is as in the environment."""

    outputs: str | Sequence[str]
    journal: Path
    journal_mb: Seconds
    held_too_long: Limit
    idle_in_transaction: Limit
    owner_gone: Seconds
    waiting: Limit
    too_many: Limit
    storm: Seconds
    storm_for: Seconds
    server_limit: Number
    ask_server: Flag
    tag: Flag
    learn: Flag
    every: Seconds
    repeat: Seconds
    frames: Number
    source: Flag
    notes: Flag
    log: Literal["report", "line"]
    verbose: Flag
    spans: Literal["off", "connections", "queries"]
    watch: str | Sequence[str]
    config: Path
    max_handles: Number
    dump: Flag
    dump_signal: str
    sigterm: Flag
    exit_collect: Flag
    ignore: str | Sequence[str] | tuple[IgnoreRule, ...]


class Demands(TypedDict, total=False):
    """What a test's marker may ask: how many connections, what is accepted, and a mode for each rule."""

    max_open: int
    max_connects: int
    allow: Accepted | Sequence[Accepted]
    left_open: Mode
    collected_open: Mode
    owner_gone: Mode
    held_too_long: Mode
    idle_in_transaction: Mode
    cursor_left_open: Mode
    too_many_at_once: Mode
    connect_storm: Mode
    second_while_holding: Mode
    shared_at_once: Mode
    shared_across_fork: Mode
    refused: Mode
    growing: Mode
    given_back: Mode
    waiting_too_long: Mode
    locked: Mode
