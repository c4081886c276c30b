"""The options of `run` and `report` that write the whole run to a file, in a form that other programs show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from whoholds.picture.page import PICTURE, page
from whoholds.picture.perfetto import trace_of
from whoholds.reporting.ci import SCHEMA, code_quality, sarif
from whoholds.reporting.files import Kind, expanded, refuse_other, write_whole
from whoholds.text.visible import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from whoholds.picture.gathering import Gathered


class Form(NamedTuple):
    """A form of the whole run: what makes it, and what it is called."""

    make: Callable[[Gathered], bytes]
    name: str
    says_what_is_gone: bool = False  # whether a finding that is not in the file counts as mended


FORMS: Final = {
    "html": Form(lambda contents: page(contents.as_data()), "the picture"),
    "perfetto": Form(trace_of, "the trace"),
    "sarif": Form(lambda contents: sarif(contents.above_info), "the SARIF log", says_what_is_gone=True),
    "gitlab": Form(
        lambda contents: code_quality(contents.above_info), "the code quality report", says_what_is_gone=True
    ),
}


_BEGINNINGS: Final = (b'{"traceEvents": [', f'{{\n "$schema": "{SCHEMA}"'.encode(), b'[\n {\n  "description": "')


def _is_drawn(head: bytes) -> bool:
    """Whether a file that begins so is of one of these forms."""
    return PICTURE.begins(head) or head == b"[]" or head.startswith(_BEGINNINGS)


DRAWN: Final = Kind("a picture, trace or report of whoholds", _is_drawn)


def asked(options: argparse.Namespace) -> dict[str, str]:
    """The paths that the command line gives, by option."""
    return {option: path for option in FORMS if (path := getattr(options, option))}


def draw(contents: Gathered, option: str, path: str) -> str:
    """Write the run to `path`, and return a line that says so. Raises OSError whose text names the option.

    A form that says by what it leaves out what is mended is not written if a journal could not be written.
    """
    form = FORMS[option]
    try:
        if contents.lost and form.says_what_is_gone:
            return visible(f"whoholds: --{option} {path}: not written, for findings may be missing")
        refuse_other(expanded(path), DRAWN)
        write_whole(expanded(path), form.make(contents))
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        takes = "it takes the path of a file that can be written"
        raise OSError(f"whoholds: --{option} {visible(path)}: {takes} ({error})") from None
    return visible(f"whoholds: {form.name} is in {path}")
