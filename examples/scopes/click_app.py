"""`WHOHOLDS=1 python click_app.py load`: each command is a scope."""

from __future__ import annotations

import click
from garage import cars_of, name_of

from whoholds.scopes.click import scoped


@click.group(name="garage")
def garage() -> None:
    """Look after cars."""


@garage.command()
@scoped
def users() -> None:
    """Name all users."""
    for number in range(3):
        click.echo(name_of(number))


@garage.command()
@scoped
def load() -> None:
    """Load the cars of all users."""
    for number in range(3):
        click.echo(", ".join(cars_of(number)))


if __name__ == "__main__":
    garage(prog_name="garage")
