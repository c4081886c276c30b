"""Findings in the log set-ups that people have: what each really prints or sends."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from typing import TYPE_CHECKING, Any

import pytest

from tests.outputs.test_log_and_warn import leaks
from tests.worlds import Program
from whoholds.outputs.log import LogOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whoholds.analysis.finding import Look

FIRST = "whoholds: collected-open: /srv/shop/cars.py:42 in load_cars never closed 3 connections"
BELOW = "spawned  /srv/shop/report.py:17 in build"


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """Give the logger, with no handler and nothing above it; as it was afterwards."""
    found = logging.getLogger("whoholds")
    before = found.handlers, found.propagate, found.level, found.disabled
    found.handlers, found.propagate = [], False
    yield found
    found.handlers, found.propagate, found.level, found.disabled = before


def run(**limits: Any) -> None:
    """Let a program leak, with the log output and these settings."""
    output: list[LogOutput] = []

    def log(look: Look) -> None:
        if not output:
            output.append(LogOutput(program.watch.limits))
        output[0](look)

    program = Program(log, **limits)
    leaks(program)
    program.looks()


def streaming(formatter: logging.Formatter) -> tuple[logging.Handler, io.StringIO]:
    """Give a handler that writes what `formatter` makes, and what it has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    return handler, stream


def test_the_standard_formatter_prints_the_whole_report(logger: logging.Logger) -> None:
    """The first line as the message, the rest below it; the place of the record is the opening line."""
    handler, stream = streaming(logging.Formatter("%(levelname)s %(name)s %(filename)s:%(lineno)d %(message)s"))
    logger.addHandler(handler)
    run()
    first, *below = stream.getvalue().splitlines()
    assert first.startswith(f"WARNING whoholds cars.py:42 {FIRST}")
    assert any(BELOW in line for line in below)


def test_the_first_line_alone_where_that_is_asked_for(logger: logging.Logger) -> None:
    """WHOHOLDS_LOG=line."""
    handler, stream = streaming(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    run(log="line")
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(FIRST)


def test_a_dict_config_that_comes_after_the_start(logger: logging.Logger) -> None:
    """The logger is looked up at the first finding."""
    stream = io.StringIO()
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"main": {"class": "logging.StreamHandler", "formatter": "plain", "stream": stream}},
        "loggers": {"whoholds": {"handlers": ["main"], "level": "WARNING", "propagate": False}},
    }
    logging.config.dictConfig(config)
    run()
    assert f"WARNING {FIRST}" in stream.getvalue()
    assert BELOW in stream.getvalue()
    del logger


def test_json_lines_keep_the_report_apart(logger: logging.Logger) -> None:
    """python-json-logger: message, stack_info and every field of the journal's record."""
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415

    handler, stream = streaming(JsonFormatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    run()
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["message"].startswith(FIRST)
    assert BELOW in "".join(record["stack_info"])
    assert (record["rule"], record["count"], record["opened"]["line"]) == ("collected-open", 3, 42)


def test_structlogs_bridge_shows_both(logger: logging.Logger) -> None:
    """Its ProcessorFormatter for records of the standard library."""
    import structlog  # noqa: PLC0415

    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(["rule", "report"])],
    )
    handler, stream = streaming(formatter)
    logger.addHandler(handler)
    run()
    record = json.loads(stream.getvalue().splitlines()[0])
    assert record["event"].startswith(FIRST)
    assert (record["rule"], record["level"]) == ("collected-open", "warning")
    assert BELOW in record["report"]


def test_sentry_groups_by_the_template_and_carries_the_report() -> None:
    """Its logging integration, with a transport that keeps what it would send."""
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415

    sent: list[dict[str, Any]] = []
    integration = LoggingIntegration(event_level=logging.WARNING)
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        default_integrations=False,
        integrations=[integration],
        before_send=lambda event, _: sent.append(dict(event)),  # type: ignore[func-returns-value,arg-type]
    )
    try:
        logging.getLogger("whoholds").addHandler(logging.NullHandler())
        run()
    finally:
        sentry_sdk.init()
    (event,) = sent
    entry = event["logentry"]
    assert entry["message"].startswith("whoholds: collected-open: %s in load_cars never closed %d %s")
    assert entry["params"][1] == 3
    assert event["extra"]["rule"] == "collected-open"
    assert BELOW in event["extra"]["report"]
