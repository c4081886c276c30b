"""`whoholds report`: prints what journals say, as text or as JSON."""

from __future__ import annotations

import glob
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoholds import registry
from whoholds.analysis.finding import INFO
from whoholds.analysis.rules import RULES
from whoholds.commands.pictures import draw
from whoholds.picture.gathering import Gathered
from whoholds.reporting.ci import github_lines
from whoholds.reporting.document import Document
from whoholds.reporting.matters import alike, matters_of_records, report_of
from whoholds.reporting.reading import Journal
from whoholds.reporting.records import iso
from whoholds.reporting.report import stamped
from whoholds.reporting.summary import Contents, lines_of
from whoholds.reporting.words import number_of
from whoholds.settings.matching import nearest
from whoholds.text.streams import AUTO, NEVER, forget, print_on, say
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_STDIN = "/dev/stdin"
SHOWN_PROCESSES = 5  # others in which the same was found
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def report(
    paths: Sequence[str],
    *,
    verbose: bool = False,
    rules: Sequence[str] = (),
    since: datetime | None = None,
    as_json: bool = False,
    handles: bool = False,
    color: str = AUTO,
    pictures: Mapping[str, str] | None = None,
    github: bool = False,
) -> int:
    """Print what the journals at `paths` say. Returns 0, or 2 if one cannot be read or nothing can be printed.

    One that cannot be read is named on stderr, and the others are printed.

    Only findings of these `rules` are shown, if any are given, and only those that were reported `since` then. With
    `pictures`, paths by option, the whole run is drawn to these paths, and its summary is printed.
    """
    contents, code = _read(_found(paths), as_json=as_json, handles=handles, drawn=bool(pictures))
    if contents is None:
        return code
    if isinstance(contents, Gathered) and pictures:
        return max(code, _draw(contents, pictures, color))
    known = {*RULES, *registry.names(registry.RULES), *(finding.get("rule") for finding in contents.findings)}
    for rule in rules:
        if rule not in known:
            say(f"whoholds: --rule {visible(rule)}: there is no such rule{nearest(rule, sorted(filter(None, known)))}")
            return 2
    shown = [finding for finding in contents.findings if _is_chosen(finding, rules, since)]
    if isinstance(contents, Document):
        data = contents.as_data(shown, rules=rules, since=iso(since.timestamp()) if since else None)
        return max(code, _print(iter([(json.dumps(data, ensure_ascii=True, indent=1), "")]), NEVER))
    annotations = github_lines(finding for finding in shown if verbose or finding["severity"] != INFO) if github else []
    lines = _lines(contents, shown, verbose=verbose, rules=rules, since=since)
    return max(code, _print(chain(lines, ((line, "") for line in annotations)), color))


def _read(paths: Sequence[str], *, as_json: bool, handles: bool, drawn: bool) -> tuple[Contents | None, int]:
    """The contents of the journals that can be read, None if none can; and 2 if one cannot, which is named."""
    code = 0
    while paths:
        journals = [Journal(path) for path in paths]
        try:
            contents = _contents_of(journals, as_json=as_json, handles=handles, drawn=drawn)
            wrong = next((one for one in journals if not one.count and not one.unknown), None)
            why = "not a line of a journal in it"
        except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
            wrong = next(journal for journal in journals if not journal.ended)
            why = getattr(error, "strerror", None) or str(error)
        if wrong is None:
            return contents, code
        code = _wrong(wrong, why)
        if _STDIN in paths:  # it cannot be read again
            break
        paths = [path for path, journal in zip(paths, journals, strict=True) if journal is not wrong]
    return None, code


def _contents_of(journals: Sequence[Journal], *, as_json: bool, handles: bool, drawn: bool) -> Contents:
    if drawn:
        return Gathered(journals)
    return Document(journals, handles=handles) if as_json else Contents(journals)


def _draw(contents: Gathered, pictures: Mapping[str, str], color: str) -> int:
    try:
        said = [draw(contents, option, path) for option, path in pictures.items()]
    except OSError as error:
        say(str(error))
        return 2
    return _print(((line, "") for line in (*lines_of(contents), *said)), color)


def moment(text: str) -> datetime:
    """The moment that `--since` names: ISO 8601, local time unless it has an offset, or so long ago: 90s, 10m, 2h, 1d.

    Raises ValueError with what it takes.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return datetime.now(timezone.utc) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{visible(text[:100])}: it takes a time such as 2026-11-26T06:30, or so long ago: 90s, 10m, 2h, 1d"
        ) from None


def _found(paths: Sequence[str]) -> list[str]:
    """The journals: each path that exists, otherwise what it matches as a pattern; `{pid}` and `{host}` match all."""
    found: dict[str, None] = {}
    for path in paths:
        pattern = path.replace("{pid}", "*").replace("{host}", "*")
        matched = [] if "\0" in path or Path(path).exists() else sorted(glob.glob(pattern))  # noqa: PTH207 - as typed
        found.update(dict.fromkeys(matched or [_STDIN if path == "-" else path]))
    return list(found)


def _is_chosen(finding: dict[str, Any], rules: Sequence[str], since: datetime | None) -> bool:
    if rules and finding.get("rule") not in rules:
        return False
    at = _time_of(finding)
    return since is None or at is None or at >= since.timestamp()  # a finding without a time may be a late one


def _time_of(finding: dict[str, Any]) -> float | None:
    """The time of the finding's last record in seconds since the epoch; None if it has none, or an impossible one."""
    try:
        return datetime.fromisoformat(finding["time"].replace("Z", "+00:00")).timestamp()
    except (AttributeError, KeyError, ValueError, OverflowError, OSError):
        return None


def _wrong(journal: Journal, what: str) -> int:
    shown = "standard input" if str(journal.path) == _STDIN else visible(str(journal.path))
    say(f"whoholds: {shown}: {what}; it takes a journal, as WHOHOLDS_JOURNAL names it")
    return 2


def _lines(
    contents: Contents, findings: list[dict[str, Any]], *, verbose: bool, rules: Sequence[str], since: datetime | None
) -> Iterator[tuple[str, str]]:
    """The texts to print, each with the severity of its finding, "" for other texts."""
    shown = matters_of_records(finding for finding in findings if verbose or rules or finding["severity"] != INFO)
    for same in alike(shown):
        yield visible("\n".join([_text(same[0]), *_others(same[1:])]), lines=True), same[0][0]["severity"]
    yield from ((visible(f"whoholds: {aside}"), "") for aside in contents.asides)
    if rules or since is not None:
        chosen = [f"--rule {rule}" for rule in rules]
        chosen += [f"--since {since.astimezone():%Y-%m-%d %H:%M:%S}"] if since is not None else []
        total = number_of(
            len(matters_of_records(contents.findings if verbose or rules else contents.above_info)), "finding"
        )
        none = "" if shown else "nothing matches; "
        said = f"whoholds: {none}shown above: {len(shown)} of {total} ({', '.join(chosen)}); the whole run:"
        yield visible(said), ""
    yield "\n".join(lines_of(contents)), ""


def _others(groups: Sequence[list[dict[str, Any]]]) -> list[str]:
    """The line on the processes in which the same was found, beside that of the report; none if there is no other."""
    if not groups:
        return []
    processes = "processes" if len(groups) > 1 else "process"
    pids = [str(group[0].get("pid") or "?") for group in groups[:SHOWN_PROCESSES]]
    more = [f"{len(groups) - len(pids)} more"] if len(groups) > len(pids) else []
    *first, last = (*pids, *more)
    listed = f"{', '.join(first)} and {last}" if first else last
    return [f"  The same was found in {len(groups)} other {processes}: {listed}."]


def _text(group: list[dict[str, Any]]) -> str:
    """The report of a matter, with the time and process id of its worst finding if the record has them."""
    finding, text = group[0], report_of(group)
    at = _time_of(finding)
    pid = finding.get("pid")
    return stamped(text, at, pid, finding.get("interpreter")) if at is not None and pid is not None else text


def _print(texts: Iterator[tuple[str, str]], color: str) -> int:
    """Write the texts to stdout. Returns 0, or 2 after a message if stdout cannot take them; no traceback."""
    stream: Any = sys.stdout
    if stream is None:
        return 2
    try:
        for text, severity in texts:
            print_on(stream, text, color, severity)
        stream.flush()
    except BrokenPipeError:  # the reader has read enough
        forget(stream)
        return 0
    except (OSError, ValueError) as error:  # a full disk; a stream that is closed
        say(f"whoholds: stdout: {getattr(error, 'strerror', None) or error}")
        forget(stream)
        return 2
    return 0
