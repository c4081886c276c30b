"""`python bench/trace_picture.py docs/traces.svg`: draws the traces of a fan-out and of its cure from exported spans.

It runs `examples/fan_out.py` and `examples/fan_out_bounded.py` below a span named as a request would be, watched by the
environment variable alone, with the real SDK and an exporter that writes a file; what is drawn is that file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = (
    ("fan_out", "One thread per user: 30 of 40 get a connection"),
    ("fan_out_bounded", "The cure: eight workers"),
)

# The same for every program: the SDK as a service has it, and the report as one request.
REQUEST = """
import importlib, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open(sys.argv[2], "a", encoding="utf-8") as file:
            file.writelines(json.dumps(json.loads(span.to_json())) + "\\n" for span in spans)
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToFile()))
trace.set_tracer_provider(provider)
program = importlib.import_module(sys.argv[1])
with program.shop_database() as url:
    with trace.get_tracer("shop").start_as_current_span("GET /report"):
        program.build_report(url, program.USERS)
"""

WIDTH, HEAD, ROW, BAR, LEFT, GAP = 560, 74, 11, 8, 14, 30
COLOURS = {
    "request": "#4a6fa5",
    "fine": "#5f9e6e",
    "warning": "#d9902f",
    "error": "#c0392b",
    "statement": "#2f3e4e",
}


@dataclass
class Span:
    """One exported span, times in seconds."""

    name: str
    parent: str | None
    start: float
    end: float
    attributes: dict[str, Any]
    error: bool

    @property
    def colour(self) -> str:
        """What a glance should tell."""
        if self.name == "GET /report":
            return COLOURS["request"]
        if not self.name.startswith("hold"):
            return COLOURS["statement"]
        if self.error:
            return COLOURS["error"]
        return COLOURS["warning" if "whoholds.rule" in self.attributes else "fine"]


def spans_of(program: str) -> list[Span]:
    """What a run exports, below its request, in the order of their starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "spans.jsonl")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("WHOHOLDS_", "OTEL_"))}
        env |= {"WHOHOLDS": "otel", "PYTHONPATH": str(ROOT / "examples")}
        command = [sys.executable, "-c", REQUEST, program, str(file)]
        subprocess.run(command, env=env, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        read = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    (request,) = [one for one in read if one["name"] == "GET /report"]
    mine = [one for one in read if one["context"]["trace_id"] == request["context"]["trace_id"]]
    return sorted(map(_span, mine), key=lambda span: (span.start, -span.end))


def _span(read: dict[str, Any]) -> Span:
    return Span(
        read["name"],
        read["parent_id"],
        _seconds(read["start_time"]),
        _seconds(read["end_time"]),
        read["attributes"],
        read["status"]["status_code"] == "ERROR",
    )


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def panel(spans: list[Span], title: str, x: int, scale: float) -> list[str]:
    """One trace as SVG, its left edge at `x`; `scale` is pixels a second, the same for both."""
    held = [span for span in spans if span.name.startswith("hold")]
    peak = max((sum(one.start <= span.start < one.end for one in held) for span in held), default=0)
    zero = spans[0].start
    lines = [
        f'<text x="{x}" y="20" class="title">{escape(title)}</text>',
        f'<text x="{x}" y="38">{len(held)} connections held, {peak} at once; request {spans[0].end - zero:.2f} s</text>',
    ]
    for row, span in enumerate(spans[:1] + held):
        y = HEAD + row * ROW
        width = max((span.end - span.start) * scale, 1.5)
        left = x + (span.start - zero) * scale
        lines.append(
            f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{span.colour}"><title>'
            f"{escape(told(span))}</title></rect>"
        )
    for at in range(int(spans[0].end - zero) + 1):
        tick = x + at * scale
        lines.append(f'<line x1="{tick:.1f}" y1="{HEAD - 14}" x2="{tick:.1f}" y2="{HEAD - 4}" stroke="#999"/>')
        lines.append(f'<text x="{tick + 3:.1f}" y="{HEAD - 6}" class="small">{at} s</text>')
    return lines


def told(span: Span) -> str:
    """What a trace viewer shows of a bar, for the mouse."""
    said = span.attributes
    lines = [f"{span.name}  {(span.end - span.start) * 1000:.0f} ms"]
    if "code.file.path" in said:
        lines.append(
            f"opened {Path(said['code.file.path']).name}:{said['code.line.number']} in {said['code.function.name']}"
        )
    if "whoholds.spawn.file.path" in said:
        file = Path(said["whoholds.spawn.file.path"]).name
        lines.append(f"spawned {file}:{said['whoholds.spawn.line.number']} in {said['whoholds.spawn.function.name']}")
    lines += [f"{name} {said[name]}" for name in ("thread.name", "whoholds.uses", "whoholds.rule") if name in said]
    return "\n".join(lines)


def draw(traces: list[tuple[str, list[Span]]]) -> str:
    """The picture."""
    longest = max(spans[0].end - spans[0].start for _, spans in traces)
    most = max(len([span for span in spans if span.name.startswith("hold")]) for _, spans in traces)
    height = HEAD + (most + 1) * ROW + 50
    width = LEFT + len(traces) * (WIDTH + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        "<style>.title{font-size:15px;font-weight:bold}.small{font-size:10px;fill:#666}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (title, spans) in enumerate(traces):
        lines += panel(spans, title, LEFT + number * (WIDTH + GAP), (WIDTH - 10) / longest)
    x = LEFT
    for kind, text in (
        ("request", "the request's own span"),
        ("fine", "a connection held"),
        ("warning", "named by a finding"),
        ("error", "named by an error"),
    ):
        lines.append(f'<rect x="{x}" y="{height - 24}" width="14" height="10" fill="{COLOURS[kind]}"/>')
        lines.append(f'<text x="{x + 20}" y="{height - 15}">{text}</text>')
        x += 190
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    given.file.write_text(draw([(title, spans_of(program)) for program, title in PROGRAMS]), encoding="utf-8")


if __name__ == "__main__":
    main()
