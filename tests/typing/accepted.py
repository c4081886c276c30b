"""Usage that mypy must accept, strictly: the public interface as a program, a driver and an output write it. Never run."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.middleware.dispatcher import DispatcherMiddleware

import whoholds
from whoholds import web
from whoholds.testing import fake_dbapi, marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fastapi import FastAPI
    from flask import Flask

    from whoholds.analysis.finding import Look
    from whoholds.ledger.ledger import Ledger

    Driver = Callable[[Ledger], AbstractContextManager[None]]
    Output = Callable[[Look], None]


def starts_and_stops() -> list[whoholds.Finding]:
    """Settings by keyword; what a stop gives."""
    running: whoholds.Watch = whoholds.start(too_many=5, ignore="left-open@jobs/*.py", outputs="log,journal")
    print(running.peak, [finding.rule for finding in running.findings])
    return whoholds.stop()


def settings_of_every_kind() -> None:
    """Numbers, flags, text as in the environment, lists and paths."""
    whoholds.start(too_many=40, held_too_long="60,600@jobs/*.py", source=False, outputs=["log", "journal"])
    whoholds.start(journal=Path("run.jsonl"), ignore=["left-open@a.py"], watch=("duckdb",), config="whoholds.toml")
    with whoholds.watch(every=0.1, log="line", spans="queries", dump_signal="SIGUSR1"):
        pass


@marker(max_open=3, allow=["left-open@shop/cache.py", lambda finding: finding.count < 3], idle_in_transaction="error")
@marker("error")
def marked() -> None:
    """A test with markers that a type checker knows."""


def watches_a_block() -> int:
    """A block, a scope in it, and who holds what."""
    with whoholds.watch(held_too_long=1.5) as watch, whoholds.scope("import") as scope:
        connection = sqlite3.connect(":memory:")
        for handle in whoholds.holders():
            print(handle.kind, handle.database.text, scope.name)
        connection.close()
        held: whoholds.Holders = whoholds.holders()
        current: whoholds.Watch | None = whoholds.current()
        print(len(held), str(held), current is watch)
    return watch.peak


def mounts_the_page(app: FastAPI, flask: Flask) -> None:
    """In applications of both kinds, and with predicates."""
    app.mount("/debug/whoholds", web.asgi())
    app.mount("/debug/whoholds", web.asgi(allow=lambda scope: scope["client"] is not None))
    page = web.wsgi(lambda environ: environ["REMOTE_ADDR"] == "10.0.0.5")
    flask.wsgi_app = DispatcherMiddleware(flask.wsgi_app, {"/debug/whoholds": page})  # type: ignore[method-assign]


@whoholds.ignore
def on_purpose(finding: whoholds.Finding) -> bool:
    """A predicate, as a decorator."""
    return finding.rule == "left-open" and finding.count < 3


def watches_a_module() -> None:
    """Any module with a `connect`."""
    whoholds.watch_module(fake_dbapi(), system="oracle.db")


def limits() -> whoholds.Limits:
    """Settings as a value; a wrong one."""
    try:
        return whoholds.Limits().with_settings(too_many="12", outputs=("log",))
    except whoholds.WrongSetting as wrong:
        raise SystemExit(str(wrong)) from None


@contextmanager
def driver(ledger: Ledger) -> Iterator[None]:
    """A driver of somebody else's."""
    print(ledger.active)
    yield


def output(look: Look) -> None:
    """An output of somebody else's."""
    for finding in look.findings:
        print(finding.rule, finding.severity, finding.lines)


DRIVER: Driver = driver
OUTPUT: Output = output
WATCH = whoholds.Watch(limits(), drivers=[driver], outputs=[output])
VERSION: str = whoholds.__version__
WARNING: type[Warning] = whoholds.HeldConnectionWarning
