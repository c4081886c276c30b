"""Makes the page: the template with its style, its script, the library that draws the curve, and the data of one run.

Nothing of the data may become markup or script. The page has a policy (CSP) under which only its own two scripts run
and nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from whoholds.picture.gathering import Gathered
from whoholds.reporting.files import Kind, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from whoholds.reporting.reading import Journal

SCRIPTS: Final = ("data.js", "view.js", "curve.js", "lanes.js", "bars.js", "details.js", "lists.js", "main.js")
PICTURE: Final = Kind(
    "a picture", lambda head: head.startswith(b"<!DOCTYPE html>") and b"<title>whoholds</title>" in head[:8192]
)
_ESCAPES: Final = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def write_page(path: Path, journals: Iterable[Journal], title: str = "", table: str = "lines") -> None:
    """Write the page for these journals to `path`, with mode 0600. Raises OSError if one cannot be read or written."""
    write_whole(path, page_of(journals, title, table))


def page_of(journals: Iterable[Journal], title: str = "", table: str = "lines") -> bytes:
    """The page for these journals, as UTF-8, with `table` shown first: `lines`, `scopes`, `databases`, `processes`.

    Raises OSError if a journal cannot be read.
    """
    return page(Gathered(journals).as_data(title, table))


class Edition(NamedTuple):
    """The words and the style in which the page of a process that still runs differs from the file of a run."""

    still: str = "at the end"  # when the handles are open that did not end
    whole: str = "Whole run"
    instead: str = "<code>whoholds report</code> prints the findings as text."  # for a browser without JavaScript
    style: str = ""  # of what stands above the drawing
    head: str = ""  # HTML for the head of the page


FILE: Final = Edition()


def page(data: dict[str, Any], edition: Edition = FILE, top: str = "") -> bytes:
    """The page for data as `Gathered.as_data` returns it, as UTF-8. `top` is HTML that stands above the drawing."""
    embedded = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)
    before, between, after = _template(edition)[0]
    return f"{before}{top}{between}{embedded}{after}".encode()


def policy(edition: Edition) -> str:
    """The content security policy of the page: its own scripts and style, and nothing else."""
    return _template(edition)[1]


@lru_cache(maxsize=2)
def _template(edition: Edition) -> tuple[tuple[str, str, str], str]:
    """The page before the top, from there to the data, and after the data; and its policy."""
    folder = files("whoholds.picture")
    read = {
        **edition._asdict(),
        "style": "\n".join((_read(folder, "vendor/uplot-1.6.32/uPlot.min.css"), style(), edition.style)),
        "library": _read(folder, "vendor/uplot-1.6.32/uPlot.iife.min.js"),
        "licence": _read(folder, "vendor/uplot-1.6.32/LICENSE"),
        "script": "".join(
            ["(() => {\n'use strict';\n", *(_read(folder, f"page/{name}") for name in SCRIPTS), "})();\n"]
        ),
    }
    read["policy"] = "; ".join(
        (
            "default-src 'none'",
            f"script-src {source_of(read['library'])} {source_of(read['script'])}",
            f"style-src {source_of(read['style'])}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    whole = _read(folder, "page/page.html")
    for name, text in read.items():
        whole = whole.replace(f"{{{{ {name} }}}}", text)
    before, _, rest = whole.partition("{{ top }}")
    between, _, after = rest.partition("{{ data }}")
    return (before, between, after), read["policy"]


def style() -> str:
    """The style sheet of the page, without that of the library that draws the curve."""
    return _read(files("whoholds.picture"), "page/page.css")


def _read(folder: Any, name: str) -> str:
    text: str = folder.joinpath(name).read_text(encoding="utf-8")
    return text


def source_of(text: str) -> str:
    """The source expression of a script or style, by which the policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
