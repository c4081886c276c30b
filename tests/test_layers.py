"""Imports run one way: the order of the rooms, in one table, held against every import in the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from whoholds import detectors
from whoholds.analysis.rules import RULES
from whoholds.drivers import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "whoholds"

# Lowest first: a module imports from its own room and from those above it in this table, for the type checker and
# inside functions too. A name stands for a module of the root, or for a folder.
ROOMS = (
    ("version", "switch", "registry", "text"),
    ("ledger",),
    ("hooks", "analysis"),
    ("settings", "plugins"),
    ("drivers",),
    ("adopting",),
    ("detectors", "reporting", "servers"),
    ("picture",),
    ("watching",),
    ("outputs",),
    ("scopes",),
    ("assembling", "startup"),
    ("web",),
    ("testing", "remote"),
    ("commands",),
    ("", "auto", "autostart", "instrumentor", "pytest_plugin", "notebook", "__main__"),
)

# Each family knows so much of the rest and no more.
KNOWS = {
    "text": set[str](),
    "hooks": {"ledger", "text.streams"},
    "analysis": {"ledger", "text"},
    "drivers": {"text", "ledger", "hooks", "analysis.blame"},
    "detectors": {"text", "ledger", "analysis", "settings.matching", "settings.limits", "plugins"},
}


class Arrow(NamedTuple):
    """One import."""

    module: str
    imports: str
    line: int

    def __str__(self) -> str:
        return f"{self.module or '__init__'}:{self.line} imports {self.imports or '__init__'}"


def name_of(path: Path) -> str:
    """Give the dotted name below `whoholds`, "" for the package itself."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCE.rglob("*.py")}


def imports_of(path: Path) -> Iterator[Arrow]:
    """Give what the file imports of ours: at its top, inside functions, and what only a type checker reads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import hides its room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name == "whoholds" or name.startswith("whoholds."):
                yield Arrow(name_of(path), module_in(name), node.lineno)


def module_in(name: str) -> str:
    """Give the longest beginning of a dotted name that is a module of ours: `whoholds.analysis.sites.Site` is `lines`."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


ARROWS = [arrow for path in MODULES.values() for arrow in imports_of(path)]
FLOOR = {name: floor for floor, room in enumerate(ROOMS) for name in room}


def top(module: str) -> str:
    """Give the name that stands in the table."""
    return module.partition(".")[0]


def test_every_module_has_its_room() -> None:
    """And the table names nothing that is not there."""
    assert {top(name) for name in MODULES} == set(FLOOR)
    assert len(ARROWS) > 100


def test_no_arrow_runs_against_the_order() -> None:
    """Whoever needs one changes the table, docs/design.md and this page in one commit."""
    against = [str(arrow) for arrow in ARROWS if FLOOR[top(arrow.imports)] > FLOOR[top(arrow.module)]]
    assert against == []


def test_no_circle() -> None:
    """No module imports itself, however long the way: types and lazy imports count."""
    imports: dict[str, set[str]] = {}
    for arrow in ARROWS:
        if arrow.module != arrow.imports:
            imports.setdefault(arrow.module, set()).add(arrow.imports)
    reached = {module: set(names) for module, names in imports.items()}
    grown = True
    while grown:
        grown = False
        for names in reached.values():
            before = len(names)
            names.update(*[reached.get(name, ()) for name in names])
            grown = grown or len(names) > before
    assert sorted(module for module, names in reached.items() if module in names) == []


def test_nobody_looks_up_a_module_of_ours_in_sys_modules() -> None:
    """Which would be an import that no test sees."""
    looks = re.compile(r"""sys\.modules(?:\.get\(|\[)\s*f?["']whoholds""")
    assert [name for name, path in MODULES.items() if looks.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("family", KNOWS)
def test_a_family_knows_its_own_part_of_the_rest(family: str) -> None:
    """Drivers, detectors and outputs know nothing of one another, nor of who calls them."""
    strange = [
        str(arrow)
        for arrow in ARROWS
        if top(arrow.module) == family and not {top(arrow.imports), arrow.imports} & {family, *KNOWS[family]}
    ]
    assert strange == []


@pytest.mark.parametrize("family", ["drivers", "outputs"])
def test_siblings_do_not_know_one_another(family: str) -> None:
    """But what they share: the kit, the table of versions, and what begins with `_`; the parts of one package are one."""

    def member(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    cross = [
        str(arrow)
        for arrow in ARROWS
        if top(arrow.module) == top(arrow.imports) == family
        and member(arrow.module) != member(arrow.imports)
        and not member(arrow.imports).startswith("_")
        and member(arrow.imports) not in ("kit", "versions")
    ]
    assert cross == []


@pytest.mark.parametrize("family", ["drivers", "outputs"])
def test_only_assembling_imports_drivers_and_outputs_and_only_when_they_are_wanted(family: str) -> None:
    """Inside functions, so that nothing is imported that the program does not use."""
    # strings, and versions; `warn_caller` for the end of a scope; what a refusal looks like
    light = {"drivers.table", "drivers.versions", "outputs.warn", "drivers._importlib_bootstrap.errors"}
    foreign = [arrow for arrow in ARROWS if top(arrow.imports) == family != top(arrow.module)]
    foreign = [arrow for arrow in foreign if arrow.imports not in light]
    assert {arrow.module for arrow in foreign} <= {"assembling"}
    tree = ast.parse((SOURCE / "assembling.py").read_text(encoding="utf-8"))
    at_top = {node.lineno for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    assert not at_top & {arrow.line for arrow in foreign}


def test_drivers_leave_the_programs_exceptions_to_the_calls() -> None:
    """Only `_importlib_bootstrap/` lets one pass or keeps one of ours; and a frame is passed, never counted."""
    forbidden = re.compile(r"BaseException|except Exception|del self\b|_getframe\([2-9]\)")
    places = [path for path in (SOURCE / "drivers").glob("*.py") if forbidden.search(path.read_text(encoding="utf-8"))]
    assert places == []


def test_what_autostart_imports_at_once_is_light() -> None:
    """None of it imports typing, threading, asyncio, wrapt or OpenTelemetry at its top."""
    heavy = {"typing", "threading", "asyncio", "dataclasses", "wrapt", "opentelemetry", "logging", "weakref"}
    light = "autostart switch hooks.exits hooks.imports hooks.spawning hooks.seams hooks.tracing".split()
    light += [f"ledger.{name}" for name in "handle owner origin here opener scope database".split()]
    light += ["", "text", "text.streams", "ledger", "hooks", "drivers", "drivers.table"]
    found = []
    for name in light:
        for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                found += [(name, alias.name) for alias in node.names if top(alias.name) in heavy]
            elif isinstance(node, ast.ImportFrom) and top(node.module or "") in heavy:
                found.append((name, node.module or ""))
    assert found == []


def test_every_driver_that_is_named_is_there() -> None:
    """The file, and the function in it; and no file of drivers/ is forgotten."""
    named = {}
    for where in table.DRIVERS.values():
        module, _, function = where.partition(":")
        named.setdefault(module.removeprefix("whoholds."), set()).add(function)
    for module, functions in named.items():
        tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        assert functions <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    files = {f"drivers.{path.stem}" for path in (SOURCE / "drivers").glob("[a-z]*.py")}
    assert files - set(named) == {"drivers.generic", "drivers.kit", "drivers.table", "drivers.versions"}


def test_a_detectors_name_is_its_rule() -> None:
    """Each row of the rules has one, each is in the pass, and no row names a rule that is not there."""
    assert {rule: detector.__name__.replace("_", "-") for rule, detector in detectors.ALL.items()} == {
        rule: rule for rule in detectors.ALL
    }
    assert set(detectors.ALL) == set(RULES)
    assert {row.contained_in for row in RULES.values()} <= {"", *RULES}


def test_every_rule_has_a_section_in_the_findings() -> None:
    """docs/findings.md, by its name as a heading."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ `?([a-z-]+)`?$", page, re.MULTILINE)
    assert [rule for rule in RULES if rule not in headings] == []


def test_the_design_shows_the_order() -> None:
    """Every room of the table is on the page, and in the same order."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = page[page.index("## Rooms") :]
    rooms = rooms[: rooms.find("\n## ", 1)] if "\n## " in rooms[1:] else rooms
    rows = [re.findall(r"`([a-z_*]+)/?`", line.split("|")[1]) for line in rooms.splitlines() if line.startswith("| `")]
    shown = [
        [floor for name, floor in FLOOR.items() if re.fullmatch(one.replace("*", ".*"), name)]
        for row in rows
        for one in row
    ]
    assert all(shown), "the page names a module that is not there"
    lowest = [min(floors) for floors in shown]
    assert lowest == sorted(lowest)
