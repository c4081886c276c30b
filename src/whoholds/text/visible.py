"""Control characters made visible: a text from a file must not move a terminal's cursor or change its colours."""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1; characters that turn the direction of writing or have no width; line separators; lone surrogates.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with each control character as an escape, like x1b behind a backslash; with `lines` line ends stay."""
    shown = _UNSEEN.sub(_escape, text)
    return shown if lines else shown.replace("\n", "\\n").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"  # noqa: PLR2004 - two digits are enough
