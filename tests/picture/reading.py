"""Reads the data out of a page, as a browser does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def data_in(html: Path) -> dict[str, Any]:
    """The data of the page in this file."""
    _, _, rest = html.read_text(encoding="utf-8").partition('<script type="application/json" id="data">')
    data: dict[str, Any] = json.loads(rest.partition("</script>")[0])
    return data


def column(data: dict[str, Any], name: str) -> list[str]:
    """The texts of a column of the bars; "" where there is none."""
    return [data["strings"][number] if number >= 0 else "" for number in data["bars"][name]]
