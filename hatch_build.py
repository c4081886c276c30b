"""The README as an index such as PyPI shows it: links into the repository are text there, because they lead nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*")
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")
# The "More" of the repository is a line of links: here it says where the pages are.
_MORE = re.compile(r"## More\n.*", re.DOTALL)
_PAGES = """## More

The documentation is in the folder `docs` of the source distribution; start with `docs/start.md`. MIT licence.
"""


class ReadmeHook(MetadataHookInterface):
    """Called by hatchling for each build, an editable one, too."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the field `readme`."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_an_index(text)}


def for_an_index(readme: str) -> str:
    """The README without pictures and links that lead into the repository; the words of the links stay."""
    return _MORE.sub(_PAGES, _LINK.sub(r"\1", _PICTURE.sub("", readme)))
