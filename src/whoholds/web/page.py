"""The page in each of its forms: one description of the process, as HTML, as text or as JSON.

Making it takes a look. It asks no server, and it waits for nobody but for a look that is under way.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from whoholds.picture.gathering import Gathered
from whoholds.picture.page import Edition, policy, source_of, style
from whoholds.picture.page import page as drawn
from whoholds.reporting.held import description_text
from whoholds.switch import is_on
from whoholds.text.markup import shown
from whoholds.watching.holders import described
from whoholds.watching.running import current
from whoholds.watching.stacks import onlookers
from whoholds.web import recent
from whoholds.web.exchange import HTML, JSON, NOTHING, TEXT, Answer
from whoholds.web.now import now_as_html

if TYPE_CHECKING:
    from whoholds.watching.watch import Watch
    from whoholds.web.recent import Recorded

OFF: Final = (
    "whoholds is not switched on in this process. "
    "Set WHOHOLDS=1 in the environment of the program, and start the program again."
)
ENDED: Final = (
    "WHOHOLDS is set, but this process is not watched: a setting is wrong, or the program has stopped the watch. "
    "The program's stderr says which; so does whoholds doctor, in the same environment."
)
NO_PICTURE: Final = "There is no picture: the part of whoholds that keeps it failed, and said so in the log."


def page(form: str) -> Answer:
    """The page of the watch that runs, or the sentence that none runs. It may raise: the caller guards it."""
    watch = current()
    if watch is None:
        return _off(form)
    recent.keep()  # as the mount does, unless it came before the watch
    description = described(watch)
    if form == JSON:
        return _as_json(description)
    if form == TEXT:
        return Answer.of_text(HTTPStatus.OK, description_text(description))
    return _as_html(watch, description)


onlookers.add(page.__code__)


def _off(form: str) -> Answer:
    reason = ENDED if is_on(os.environ.get("WHOHOLDS", "")) else OFF
    if form == JSON:
        return _as_json({"type": "off", "reason": reason})
    return Answer.of_text(HTTPStatus.OK, reason) if form == TEXT else _plain(reason)


def _plain(heading: str, now: str = "") -> Answer:
    """A page without a picture: the heading, and the section `now` as HTML."""
    sheet = style() + _file("now.css")
    before, _, after = _file("plain.html").replace("{{ style }}", sheet).partition("{{ now }}")
    body = f"{before.replace('{{ heading }}', shown(heading))}{now}{after}"
    return Answer(HTTPStatus.OK, body.encode(), HTML, f"{NOTHING}; img-src data:; style-src {source_of(sheet)}")


def _as_json(value: dict[str, Any]) -> Answer:
    return Answer(HTTPStatus.OK, json.dumps(value, indent=2, default=str).encode() + b"\n", JSON)


def _as_html(watch: Watch, description: dict[str, Any]) -> Answer:
    records, now = recent.recorded(watch), now_as_html(description)
    if records is None:
        return _plain(NO_PICTURE, now)
    body = drawn(_data(records, description["process"]), _edition(), now)
    return Answer(HTTPStatus.OK, body, HTML, policy(_edition()))


def _data(records: Recorded, process: dict[str, Any]) -> dict[str, Any]:
    """The data of the picture. `live` is the stretch that is shown, in microseconds since the start of the data."""
    data = Gathered([records]).as_data(f"{process['program']}, process {process['pid']}")
    until = round(records.until * 1e6 - data["start"] * 1000)
    began = round(records.since * 1e6 - data["start"] * 1000)
    return {**data, "live": [min(began, until - 1_000_000), until], "headline": "whoholds has found nothing so far."}


@lru_cache(maxsize=1)
def _edition() -> Edition:
    return Edition(
        still="now",
        whole="All",
        instead='<a href="?format=text">As text</a>, the page needs none, and has the findings, too.',
        style=_file("now.css"),
        head='<link rel="icon" href="data:,">\n',  # else a browser asks the program for one
    )


def _file(name: str) -> str:
    return files("whoholds.web").joinpath(name).read_text(encoding="utf-8")
