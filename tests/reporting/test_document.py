"""`whoholds report`: which findings it shows, and the JSON document of a stable form."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.worlds import REPORT, SHOP, Program, thread
from whoholds.commands.cli import main
from whoholds.commands.report import moment
from whoholds.outputs.journal import JournalOutput
from whoholds.reporting import document
from whoholds.reporting.records import iso
from whoholds.settings.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

# The contract: what each object of version 1 has at least.
FORM = {
    "": ("version", "whoholds", "journals", "filter", "summary", "processes", "findings", "peaks", "asides", "remarks"),
    "filter": ("rules", "since"),
    "summary": ("headline", "findings", "connections", "peak", "ended", "busiest"),
    "processes": ("journal", "pid", "host", "argv", "cwd", "python", "version", "time", "limits", "ended", "open"),
    "findings": (
        *("journal", "id", "fingerprint", "rule", "severity", "message", "time", "count", "database", "opened"),
        *("spawned", "owners", "stack", "spawn_stack", "pid", "host", "report"),
    ),
    "peaks": ("journal", "database", "count", "time", "pid"),
    "handles": (
        *("journal", "key", "kind", "driver", "database", "opened_at", "closed_at", "how", "held_s", "busy_s", "uses"),
        *("opened", "spawned", "owner", "backend_pid", "pid"),
    ),
}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give the journal of a program that leaked: two connections left open, and one that the collector freed."""
    path = tmp_path / "run.jsonl"
    program = Program(JournalOutput(Limits().with_settings(journal=str(path))))
    leaking = thread("Thread-1", REPORT)
    for _ in range(2):
        program.opens("/srv/shop/app.py:9 main", leaking)
    program.ledger.closed(program.opens("/srv/shop/cars.py:42 load_cars"), "collected")
    program.looks()
    program.exits()
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Give the document that the command prints."""
    assert main(["report", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_document_has_its_form(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Version 1: the fields that scripts rely on, in every object; handles only where they are asked for."""
    data = told(capsys, journal, "--handles")
    assert data["version"] == 1
    for name, fields in FORM.items():
        part = data[name] if name else data
        objects = part if isinstance(part, list) else [part]
        assert objects, name
        for one in objects:
            assert set(fields) <= set(one), name
    assert data["journals"] == [str(journal)]
    assert data["summary"]["findings"] == {"error": 1, "warning": 1, "info": 0}
    assert data["summary"]["connections"] == 3
    assert data["summary"]["busiest"][0] == {
        "file": "/srv/shop/app.py",
        "line": 9,
        "function": "main",
        "kind": "connection",
        "count": 2,
    }
    assert data["processes"][0]["ended"]
    assert not {"handles", "refused"} & set(told(capsys, journal))


def test_refused_requests_are_beside_the_handles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the journal has them."""
    path = tmp_path / "run.jsonl"
    program = Program(JournalOutput(Limits().with_settings(journal=str(path))))
    program.ledger.refused(OSError("too many clients"), SHOP, None)
    program.looks()
    assert [one["database"] for one in told(capsys, path, "--handles")["refused"]] == [SHOP.text]


def test_handles_beyond_a_number_are_left_out(
    journal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remark says how many: the journal may be larger than the memory."""
    monkeypatch.setattr(document, "MOST_HANDLES", 1)
    data = told(capsys, journal, "--handles")
    assert len(data["handles"]) == 1
    assert data["summary"]["connections"] == 3
    assert data["remarks"] == ["2 records of further handles, beyond 1, are left out"]


def test_a_process_without_an_end_shows_what_it_held(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last `open` record; it has no time of its end."""
    lines = journal.read_text().splitlines()
    last = max(number for number, line in enumerate(lines) if '"type":"open"' in line)
    journal.write_text("\n".join(lines[: last + 1]) + "\n")
    data = told(capsys, journal)
    (process,) = data["processes"]
    assert (process["ended"], process["open"]["count"], data["summary"]["ended"]) == (None, 2, False)


def test_processes_of_one_number_in_two_journals_are_two(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in containers, where each program is process 1; journals may be given by a pattern, also with {pid}."""
    (tmp_path / "other.jsonl").write_text(journal.read_text())
    data = told(capsys, tmp_path / "*.jsonl")
    assert data["journals"] == [str(tmp_path / "other.jsonl"), str(journal)]
    assert len(data["processes"]) == 2
    assert [finding["journal"] for finding in data["findings"]] == [0, 0, 1, 1]
    assert told(capsys, tmp_path / "{pid}.jsonl")["findings"] == data["findings"]


def test_findings_of_a_rule(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are counted in a line below."""
    assert [one["rule"] for one in told(capsys, journal, "--rule", "left-open")["findings"]] == ["left-open"]
    assert main(["report", str(journal), "--rule", "collected-open"]) == 0
    out = capsys.readouterr().out
    assert "whoholds: collected-open: " in out
    assert "whoholds: left-open: " not in out
    assert "shown above: 1 of 2 findings (--rule collected-open); the whole run:" in out
    assert main(["report", str(journal), "--rule", "left-opn"]) == 2
    assert "there is no such rule (did you mean left-open?)" in capsys.readouterr().err


def test_findings_since_a_time(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the last record of each; a time without an offset is local time."""
    times = sorted(one["time"] for one in told(capsys, journal)["findings"])
    after = datetime.fromisoformat(times[-1].replace("Z", "+00:00")) + timedelta(seconds=1)
    assert len(told(capsys, journal, "--since", times[0])["findings"]) == 2
    data = told(capsys, journal, "--since", after.astimezone().replace(tzinfo=None).isoformat())
    assert (data["findings"], data["filter"]["since"]) == ([], iso(after.timestamp()))
    assert main(["report", str(journal), "--since", after.isoformat()]) == 0
    assert "whoholds: nothing matches; shown above: 0 of 2 findings" in capsys.readouterr().out


def test_one_finding_is_one(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run with a single finding, one that does not match is not shown, and said so."""
    kept = [line for line in journal.read_text("utf-8").splitlines() if '"collected-open"' not in line]
    journal.write_text("\n".join(kept), "utf-8")
    assert main(["report", str(journal), "--rule", "refused"]) == 0
    assert "nothing matches; shown above: 0 of 1 finding (--rule refused)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--handles"], "--handles takes --json beside it"),
        (["--github", "--json"], "--github prints lines after the report: it takes no --json"),
        (["--github", "--sarif", "run.sarif"], "--github prints lines after the report: it takes no --sarif"),
    ],
)
def test_an_option_that_would_do_nothing_is_an_error(
    journal: Path, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each goes with one form of the report only."""
    with pytest.raises(SystemExit):
        main(["report", str(journal), *options])
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600)])
def test_so_long_ago(text: str, seconds: float) -> None:
    """Seconds, minutes, hours and days."""
    before = datetime.now(timezone.utc)
    given = moment(text) + timedelta(seconds=seconds)
    assert before <= given <= datetime.now(timezone.utc)


@pytest.mark.parametrize("text", ["yesterday", "10", "", "٣m", "9" * 400 + "d"])
def test_a_wrong_time_is_named_with_what_it_takes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, as for any wrong command line."""
    with pytest.raises(SystemExit) as ended:
        main(["report", "run.jsonl", "--since", text])
    assert ended.value.code == 2
    assert "it takes a time such as 2026-11-26T06:30, or so long ago: 90s, 10m, 2h, 1d" in capsys.readouterr().err
