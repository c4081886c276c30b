"""Scopes for Click and Typer: each run of a command is a scope, named by the command's path, `shop cars load`.

@cli.command()
@scoped
def load(): …
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from whoholds.scopes.units import begin, end

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def scoped(command: Callable[P, R]) -> Callable[P, R]:
    """The function of a command, wrapped so that each call is a scope."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        running = click.get_current_context(silent=True)
        unit = begin(running.command_path if running is not None else command.__name__, "command")
        try:
            return command(*args, **kwargs)
        finally:
            end(unit)

    return run
