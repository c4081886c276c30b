"""HTML for notebooks. A text that it is given becomes text, never markup."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLORS: Final = {"error": "#b8351b", "warning": "#b36b00"}  # readable on white and on black
_PLAIN: Final = "#4c6a85"


def shown(text: str) -> str:
    """`text` as HTML: its markup and control characters are visible, its lines stay."""
    return escape(visible(text, lines=True))


def card(title: str, *parts: str, severity: str = "") -> str:
    """A box with a title, in the colour of a severity; `parts` are HTML."""
    color = _COLORS.get(severity, _PLAIN)
    heading = f'<div style="color:{color};font-weight:600">{shown(title)}</div>'
    return f'<div style="border-left:4px solid {color};padding:2px 12px">{heading}{"".join(parts)}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; without a head if `heads` is empty."""
    left = ' style="text-align:left;vertical-align:top"'
    head = "".join(f'<th scope="col"{left}>{shown(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td{left}>{shown(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def unfoldable(title: str, text: str) -> str:
    """A text below a title that unfolds it."""
    return f'<details><summary>{shown(title)}</summary><pre style="white-space:pre-wrap">{shown(text)}</pre></details>'


def paragraphs(texts: Iterable[str]) -> str:
    """A paragraph for each text."""
    return "".join(f'<p style="margin:2px 0">{shown(text)}</p>' for text in texts)
