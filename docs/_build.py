"""What the site does beyond MkDocs: it includes the examples, takes in pages from outside docs/, and adapts the links.

The pages are written for readers of the repository, so their links lead to files. A link that is alone on its line
and leads to a program, a report or a file of settings is replaced by that file; in a `_cure` program, the lines that
differ from the `_bug` program beside it are marked. Links to files that are no pages become plain text.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Files of the repository that are pages of the site, too. `README.md` is its front page.
TAKEN_IN = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    **{
        path: path.replace("README.md", "index.md")
        for path in (file.relative_to(ROOT).as_posix() for file in sorted(ROOT.glob("examples/**/README.md")))
    },
}
LANGUAGES = {".py": "python", ".txt": "text", ".toml": "toml", ".yml": "yaml", ".sh": "sh"}

_INCLUDED = re.compile(r"^\[[^\]]+\]\((?P<path>(?:\.\./)+[^)\s#]+\.(?:py|txt|toml|yml|sh))\)$", re.MULTILINE)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s#:]*)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept outside docs/."""
    for source, page in TAKEN_IN.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Replace the links to programs and reports by their text, and point every other link to its page."""
    here = source_of(page.file.src_uri)
    with_programs = _INCLUDED.sub(
        lambda link: included(posixpath.join(posixpath.dirname(here), link["path"])), markdown
    )
    parts = _FENCE.split(with_programs)
    parts[::2] = [_LINK.sub(lambda link: led(link, here), part) for part in parts[::2]]
    return "".join(parts)


def source_of(page: str) -> str:
    """The path of a page's source in the repository."""
    outside = {taken_in: source for source, taken_in in TAKEN_IN.items()}
    return outside.get(page, f"docs/{page}")


def included(path: str) -> str:
    """A file as a block of code with its name above it."""
    file = ROOT / path
    text = file.read_text(encoding="utf-8").rstrip()
    numbered = ' linenums="1"' if file.suffix == ".py" else ""  # the reports name lines by their numbers
    marked = changed_lines(file) if file.stem.endswith("_cure") else ""
    name = posixpath.normpath(path)
    return f'```{LANGUAGES[file.suffix]} title="{name}"{numbered}{marked}\n{text}\n```'


def changed_lines(cure: Path) -> str:
    """The option that marks the lines of a fixed program that its buggy version does not have."""
    before, after = (
        file.read_text(encoding="utf-8").splitlines()
        for file in (cure.with_name(cure.name.replace("_cure", "_bug")), cure)
    )
    changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    lines = [number + 1 for kind, _, _, first, last in changes if kind != "equal" for number in range(first, last)]
    code = [number for number in lines if number > 1 and after[number - 1].strip()]  # not the docstring
    return f' hl_lines="{" ".join(map(str, code))}"' if code else ""


def led(link: re.Match[str], here: str) -> str:
    """A link as the site has it: to the page that a file has become, or as text if the file is not a page."""
    path, anchor = unquote(link["path"]), link["anchor"] or ""
    if not path or link["path"].startswith("/"):
        return link[0]
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    folder = f"{target}/README.md"
    taken_in = TAKEN_IN.get(target) or TAKEN_IN.get(folder)
    if taken_in is None and not target.startswith("docs/"):
        return link["text"] if link["text"].strip("`") in target else f"{link['text']} (`{target}` in the repository)"
    page = taken_in or target.removeprefix("docs/")
    own = TAKEN_IN.get(here) or here.removeprefix("docs/")
    relative = posixpath.relpath(page, posixpath.dirname(own) or ".")
    return f"{link['image']}[{link['text']}]({relative}{anchor})"
