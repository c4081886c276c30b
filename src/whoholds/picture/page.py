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
from typing import TYPE_CHECKING, Any, Final

from whoholds.picture.gathering import Gathered
from whoholds.reporting.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from whoholds.reporting.reading import Journal

SCRIPTS: Final = ("data.js", "view.js", "curve.js", "lanes.js", "bars.js", "details.js", "lists.js", "main.js")
_ESCAPES: Final = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def write_page(path: Path, journals: Iterable[Journal], title: str = "", table: str = "lines") -> None:
    """Write the page for these journals to `path`, with mode 0600. Raises OSError if one cannot be read or written."""
    write_whole(path, page_of(journals, title, table))


def page_of(journals: Iterable[Journal], title: str = "", table: str = "lines") -> bytes:
    """The page for these journals, as UTF-8, with `table` shown first: `lines`, `scopes`, `databases`, `processes`.

    Raises OSError if a journal cannot be read.
    """
    return page(Gathered(journals).as_data(title, table))


def page(data: dict[str, Any]) -> bytes:
    """The page for data as `Gathered.as_data` returns it, as UTF-8."""
    embedded = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)
    before, after = _template()
    return f"{before}{embedded}{after}".encode()


@lru_cache(maxsize=1)
def _template() -> tuple[str, str]:
    """The page before and after its data."""
    folder = files("whoholds.picture")
    read = {
        "style": "\n".join((_read(folder, "vendor/uplot-1.6.32/uPlot.min.css"), _read(folder, "page/page.css"))),
        "library": _read(folder, "vendor/uplot-1.6.32/uPlot.iife.min.js"),
        "licence": _read(folder, "vendor/uplot-1.6.32/LICENSE"),
        "script": "".join(
            ["(() => {\n'use strict';\n", *(_read(folder, f"page/{name}") for name in SCRIPTS), "})();\n"]
        ),
    }
    read["policy"] = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(read['library'])} {_hash(read['script'])}",
            f"style-src {_hash(read['style'])}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    whole = _read(folder, "page/page.html")
    for name, text in read.items():
        whole = whole.replace(f"{{{{ {name} }}}}", text)
    before, _, after = whole.partition("{{ data }}")
    return before, after


def _read(folder: Any, name: str) -> str:
    text: str = folder.joinpath(name).read_text(encoding="utf-8")
    return text


def _hash(text: str) -> str:
    """The source expression of a script or style, by which the policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
