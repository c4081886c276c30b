"""Wrong settings and outputs that fail: one line each, and the program runs on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.needs import needed
from tests.processes.leaks import LEAK, THREE

if TYPE_CHECKING:
    from tests.programs import Programs


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WHOHOLDS_TOO_MANY": "lots"}, "whoholds: not watching: WHOHOLDS_TOO_MANY=lots: it takes a number"),
        (
            {"WHOHOLDS_TO_MANY": "5"},
            "WHOHOLDS_TO_MANY=5: there is no such setting (did you mean WHOHOLDS_TOO_MANY?)",
        ),
        ({"WHOHOLDS": "jurnal"}, "WHOHOLDS=jurnal: it takes 1, 0 or a comma list of outputs: log, warn, otel, journal"),
        ({"WHOHOLDS_IGNORE": "@/nowhere/x.txt"}, "WHOHOLDS_IGNORE=@/nowhere/x.txt: it takes a file that can be read"),
    ],
)
def test_a_wrong_setting_is_one_line_and_the_program_runs_on(
    program: Programs, settings: dict[str, str], said: str
) -> None:
    """Unwatched: same output, same exit code."""
    ran = program.run(LEAK + "print('done')\nraise SystemExit(4)", **settings)
    assert (ran.code, ran.out, ran.of("finding")) == (4, "done\n", [])
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_journal_that_cannot_be_written_is_one_line(program: Programs) -> None:
    """The other outputs go on."""
    blocked = program.folder / "file"
    blocked.write_text("")
    ran = program.run(LEAK, WHOHOLDS_JOURNAL=blocked / "run.jsonl")
    assert ran.code == 0
    lines = [line for line in ran.err.splitlines() if "switched off" in line]
    assert len(lines) == 1
    assert lines[0].startswith("whoholds: output journal is switched off: ")
    assert str(blocked) in lines[0]
    assert "left open 3 connections" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_one_line(program: Programs) -> None:
    """And never the program's trouble."""
    ran = program.run(LEAK, WHOHOLDS_JOURNAL="/dev/full")
    assert ran.code == 0
    assert ran.err.count("output journal is switched off") == 1
    assert "left open 3 connections" in ran.err


def test_an_exporter_that_raises_is_nobodys_trouble(program: Programs) -> None:
    """The SDK's exporter raises: the program ends as it would, and the log output says what was found."""
    needed("opentelemetry.sdk")
    ran = program.run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
        class Broken(SpanExporter):
            def export(self, spans):
                raise RuntimeError("no such collector")
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Broken()))
        trace.set_tracer_provider(provider)
        """
        + "\n".join("        " + line for line in LEAK.splitlines())
        + "\n        print('done')"
    )
    assert (ran.code, ran.out, ran.findings) == (0, "done\n", THREE)
    assert "left open 3 connections" in ran.err
