"""The reports that the pages of docs/ show: kept beside the examples, and compared with what a run prints.

A report is the line that begins with `whoholds: RULE:` and the indented lines below it. Two runs print the same but for
numbers, times, paths of this machine and what the moment of a look decides; `normalised` leaves these out.
"""

from __future__ import annotations

import re
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

_FIRST_LINE = re.compile(r"whoholds: (?P<rule>[a-z-]+): .+")
_PACKAGES = re.compile(r"[^\s\"'(]*/site-packages/")  # what comes before a library's own path
_FOLDER = re.compile(r"/tmp/shop-\w+/")
_LIBRARY = re.compile(r"\b(ipykernel|uvicorn)/\S+:\d+ in \w+(  .*)?")  # its line, which is another in another version
_RECORD = re.compile(r"(?<=.)(?=\[[A-Z]+\]\t)")  # AWS Lambda's client writes its log records without an end of line
_MOMENT = re.compile(r"^( +held [^;\n]*).*$", re.MULTILINE)
_LATER = re.compile(  # where the holders are; the last statements; what other rules said of the same connections
    r"^ +now .*\n(?:^ {17}\S.*\n)*|^  last statements?\b.*\n(?:^    \S.*\n)*"
    r"|^  Reported before.*\n|^  Also [a-z-]+: .*\n(?:^    \S.*\n)*",
    re.MULTILINE,
)
_ONE_OR_SEVERAL = (  # the first look finds one connection, or several
    (re.compile(r"\b(connection|thread|task|worker|owner|transaction|cursor)s\b"), r"\1"),
    (re.compile(r"\bfor up to\b"), "for"),
    (re.compile(r",? (?:that|which|of which \d+) (?:has|have) ended\b"), ""),  # or are about to
    (re.compile(r"\bby \d+ (?:thread|task|worker|owner), such as "), "by "),
    (re.compile(r"\b(?:each|the) (?=(?:connection|transaction|cursor)\b)"), "the "),
)
_NUMBER = re.compile(
    r"(?P<line>(?:\w+_(?:bug|cure)|fan_out|prices|shop)\.py:\d+|Cell In\[\d+\], line \d+)|\d+(?:\.\d+)?"
)


def kept_beside(program: str) -> Path:
    """The file that keeps the reports of `fan_out.py` or `frameworks/run.py django_bug`."""
    return EXAMPLES / f"{program.replace('run.py ', '').removesuffix('.py')}.txt"


def reports_of(output: str, rules: list[str]) -> dict[str, str]:
    """The first whole report of each rule that `output` has, in the order of `rules`.

    A prefix that a log handler wrote, and the folder of installed packages, are cut off.
    """
    reports: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _RECORD.sub("\n", output).splitlines():
        first = _FIRST_LINE.search(line)
        if first:
            lines = []
            if first["rule"] not in reports or len(reports[first["rule"]]) == 1:
                reports[first["rule"]] = lines
            lines.append(first[0])
        elif line.startswith("  ") and lines:
            lines.append(line)
        else:
            lines = []
    return {rule: _PACKAGES.sub("", "\n".join(reports[rule])) for rule in rules if rule in reports}


def normalised(report: str) -> str:
    """The report on one line, without what differs from run to run; line numbers of the examples stay."""
    of_any_version = _LIBRARY.sub(r"\1", _FOLDER.sub("/tmp/shop/", f"{report}\n"))
    without_moment = _MOMENT.sub(r"\1", _LATER.sub("", of_any_version))
    line = " ".join(without_moment.split())
    for several, single in _ONE_OR_SEVERAL:
        line = several.sub(single, line)
    return _NUMBER.sub(lambda number: number["line"] or "#", line)


def same(shown: str, printed: str) -> bool:
    """Whether two reports differ in nothing but that."""
    return normalised(shown) == normalised(printed)
