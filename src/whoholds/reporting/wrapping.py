"""Wraps the sentences of a report."""

from __future__ import annotations

import re
import textwrap

COLUMNS = 98  # of the sentences of a report
_CODE = re.compile(r"`[^`]+`")
_NO_BREAK = "\u00a0"


def paragraph(sentence: str, indent: str = "  ") -> list[str]:
    """The sentence as indented lines of at most `COLUMNS` columns; words and `code` are not broken.

    What follows a line end in the sentence, such as a query to copy, keeps its own lines, indented further.
    """
    words, *verbatim = sentence.split("\n")
    lines = textwrap.wrap(
        _CODE.sub(lambda code: code[0].replace(" ", _NO_BREAK), words),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(line.replace(_NO_BREAK, " ") for line in lines), *(f"{indent}    {line}" for line in verbatim)]
