"""The options of `run` and `report` that write the whole run to a file, in a form that other programs show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from whoholds.picture.page import page
from whoholds.picture.perfetto import trace_of
from whoholds.reporting.ci import code_quality, sarif
from whoholds.reporting.files import expanded, write_whole
from whoholds.text.visible import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from whoholds.picture.gathering import Gathered

# By option: what makes the file, and what it is called.
MAKERS: Final[dict[str, tuple[Callable[[Gathered], bytes], str]]] = {
    "html": (lambda contents: page(contents.as_data()), "the picture"),
    "perfetto": (trace_of, "the trace"),
    "sarif": (lambda contents: sarif(contents.above_info), "the SARIF log"),
    "gitlab": (lambda contents: code_quality(contents.above_info), "the code quality report"),
}


def asked(options: argparse.Namespace) -> dict[str, str]:
    """The paths that the command line gives, by option."""
    return {option: path for option in MAKERS if (path := getattr(options, option))}


def draw(contents: Gathered, option: str, path: str) -> str:
    """Write the run to `path`, and return a line that says so. Raises OSError whose text names the option."""
    make, name = MAKERS[option]
    try:
        write_whole(expanded(path), make(contents))
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        takes = "it takes the path of a file that can be written"
        raise OSError(f"whoholds: --{option} {visible(path)}: {takes} ({error})") from None
    return visible(f"whoholds: {name} is in {path}")
