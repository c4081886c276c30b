"""Finds the TOML file with the settings, and guesses which modules it names to be watched, without parsing TOML.

Autostart asks at the first import of a module that does not come with Python: this module must import next to nothing.
"""

from __future__ import annotations

import os
import stat

from whoholds.text.regular import regular_text

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from collections.abc import Iterator

PYPROJECT = "pyproject.toml"


def pyprojects() -> Iterator[tuple[str, str]]:
    """Path and text of each `pyproject.toml` in the working directory and above that may have `[tool.whoholds]`.

    The nearest comes first. Files that cannot be read, and files of other users in a folder of everybody's, are passed
    over.
    """
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        return
    above = ""
    while folder != above:
        path = os.path.join(folder, PYPROJECT)
        try:
            text = regular_text(path)
        except (OSError, ValueError):
            text = ""
        if "whoholds" in text and _may_have_table(text) and not _is_somebody_elses(folder, path):
            yield path, text
        folder, above = os.path.dirname(folder), folder


def _may_have_table(text: str) -> bool:
    """Whether a line begins the table: `[tool.whoholds]`, `tool.whoholds.every = 3`, or `whoholds…` in `[tool]`."""
    in_tool = False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            in_tool = _bare(line).startswith("[tool]")
        if "whoholds" in line:
            bare = _bare(line)
            if bare.startswith(("[tool.whoholds", "tool.whoholds")) or (in_tool and bare.startswith("whoholds")):
                return True
    return False


def _is_somebody_elses(folder: str, path: str) -> bool:
    """Whether another user put the file, or a link to one, into a folder that everybody can write to, such as /tmp."""
    try:
        everybody_writes = os.stat(folder).st_mode & stat.S_IWOTH  # noqa: PTH116 - pathlib is not imported
        return bool(everybody_writes) and os.lstat(path).st_uid not in (0, os.geteuid())
    except (OSError, AttributeError):  # the file is gone; Windows has no user ids
        return False


def _bare(line: str) -> str:
    return line.replace(" ", "").replace("\t", "").replace('"', "").replace("'", "")


def names_to_watch() -> list[str]:
    """The modules that the setting `watch` may name in the settings file; none where WHOHOLDS_WATCH is set, which wins.

    Values of other tables' `watch` are among them. A wrong guess does no harm: the import of such a module only starts
    the watch, which reads the settings properly.
    """
    if os.environ.get("WHOHOLDS_WATCH", "").strip():
        return []
    named = os.environ.get("WHOHOLDS_CONFIG", "").strip()
    try:
        text = regular_text(named) if named else next((text for _, text in pyprojects()), "")
    except (OSError, ValueError):
        return []
    lines = [line.partition("#")[0] for line in text.splitlines()]
    names: list[str] = []
    for number, line in enumerate(lines):
        before, key, value = line.partition("watch")
        if key and _bare(value).startswith("=") and _bare(before)[-1:] in ("", ".", "{", ","):
            names += _listed([value.partition("=")[2], *lines[number + 1 :]])
    return names


def _listed(lines: list[str]) -> list[str]:
    """The names in the value that begins with these lines: a text, or an array that may end on a later line."""
    value = lines[0]
    if value.lstrip().startswith("["):
        rest = iter(lines[1:])
        while "]" not in value and (line := next(rest, None)) is not None:
            value = f"{value},{line}"
        value = value.partition("]")[0].partition("[")[2]
    return [name for part in value.split(",") if (name := _bare(part))]
