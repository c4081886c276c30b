"""The first line of a report, which stands alone: a finding's message, as text and as a template with arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoholds.analysis import finding as _finding
from whoholds.analysis.cells import cell_of
from whoholds.analysis.work import work_of
from whoholds.ledger import faults
from whoholds.reporting.words import UNKNOWN_LINE, at_least, database_name, noun, opening_verb, plural
from whoholds.text.redact import redact
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from whoholds.analysis.finding import Finding
    from whoholds.analysis.sites import Site

_GROUP = "{n}"  # placeholder of a phrase, for instance for "35 connections"


def first_line(finding: Finding) -> tuple[str, tuple[object, ...]]:
    """The message as a %-template and its arguments.

    The template has only what the fingerprint covers, so that error trackers group equal findings. A finding that
    cannot be put into words gives its rule and count, so that the other findings are still reported. Never raises.
    """
    try:
        template, arguments = _first_line(finding)
        template % arguments  # raises if the phrase has more or fewer placeholders than numbers
    except Exception as error:  # noqa: BLE001 - a detector's phrase, a name of the program's
        faults.note(error, "whoholds.report")
        failure = type(error).__name__
        return f"{finding.rule}: %d %s, which cannot be shown (%s)", (finding.count, "found", failure)
    return template, arguments


def _first_line(finding: Finding) -> tuple[str, tuple[object, ...]]:
    if finding.site is not None and finding.site.origin:
        place, function = finding.site.frame.place, f" in {_escaped(finding.site)}"
    else:
        place, function = (finding.site.text if finding.site is not None else "") or UNKNOWN_LINE, ""
    predicate, numbers = _predicate(finding)
    template = f"{finding.rule}: %s{function} {predicate}"
    arguments: list[object] = [place, *numbers]
    also = finding.also
    if also is not None and also.site is not finding.site:
        template += f"{also.joined_by or f', {also.what} at '}%s"
        arguments.append(f"{_beside(also.site, finding.site)}{_in_function(also.site.frame.function)}")
    if finding.spawned is not None:
        template += f", spawned at %s{_in_function(_escaped(finding.spawned))}"
        arguments.append(_beside(finding.spawned, finding.site))
    template += "%s, to %s%s%s"
    arguments += [_for_work(finding), _databases(finding), _before(finding), _again(finding)]
    return template, tuple(
        visible(redact(argument)) if isinstance(argument, str) else argument for argument in arguments
    )


def _predicate(finding: Finding) -> tuple[str, tuple[object, ...]]:
    """What the opening line did, as a %-template and its arguments."""
    before, _, after = finding.phrase.replace("{verb}", _verb(finding)).partition(_GROUP)
    places = before.count("%") - 2 * before.count("%%")
    if _GROUP not in finding.phrase:
        return before + after, finding.numbers
    group = (finding.count, noun(finding.kind, finding.count))
    return f"{before}%d %s{after}", (*finding.numbers[:places], *group, *finding.numbers[places:])


def reason(finding: Finding) -> str:
    """What the message says of the handles, without the lines and the database: `left open 3 connections at exit`."""
    template, arguments = _predicate(finding)
    return visible(redact(template % arguments))


def message(finding: Finding) -> str:
    """The first line of the report, which can stand alone.

    It names the rule, the opening line, what that line did and how often, the spawn line, and the database.
    """
    template, arguments = first_line(finding)
    return visible(redact(template % arguments))


def _beside(site: Site, first: Site | None) -> str:
    """`shop/report.py:17`; `line 17` if it is in the same file as `first`, which the message has named before."""
    frame = site.frame
    same = first is not None and first.origin and first.frame.file == frame.file and not cell_of(frame.file)
    return f"line {frame.line}" if same else frame.place


def _in_function(name: str) -> str:
    """` in load_cars`; "" for a module's own lines, because the file says as much."""
    return f" in {name}" if name != "<module>" else ""


def _escaped(site: Site) -> str:
    return site.frame.function.replace("%", "%%")


def _for_work(finding: Finding) -> str:
    """` (GET /users)`: the one request, task or job for which the handles were opened, unless the message names it."""
    work = work_of(finding.handles)
    return f" ({work})" if work and work != finding.scope else ""


def _databases(finding: Finding) -> str:
    name = database_name(finding.database)
    others = len({handle.database.text for handle in finding.handles} - {finding.database.text})
    return f"{name} and {at_least(finding.unkept)}{others} other{plural(others)}" if others else name


def _verb(finding: Finding) -> str:
    """What the line did: `opened` or `borrowed`; what refers to handles that were opened before the watch `holds`."""
    return "holds" if _is_adopted(finding) else opening_verb(finding.kind)


def _is_adopted(finding: Finding) -> bool:
    return bool(finding.handles) and finding.in_order[0].referrer is not None


def _before(finding: Finding) -> str:
    return " (opened before whoholds came)" if _is_adopted(finding) else ""


def _again(finding: Finding) -> str:
    if finding.times > 1:
        return f" ({finding.times} times)"
    return f" (×{finding.since} since)" if finding.since and finding.adds_up else ""


_finding.as_message = message
