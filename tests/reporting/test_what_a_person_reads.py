"""What a person reads: the first line alone, the text below it, and what must never be in either."""

from __future__ import annotations

import itertools
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.worlds import CARS, FILE, REPORT, SHOP, STOCK, Program, at, ends, task, thread
from whoholds.analysis import frames
from whoholds.analysis.sites import Sites
from whoholds.ledger.database import Database
from whoholds.ledger.handle import CONNECTION, Handle
from whoholds.ledger.origin import from_lines
from whoholds.reporting.first_line import first_line, message
from whoholds.reporting.records import finding_record
from whoholds.reporting.report import text
from whoholds.reporting.words import database_name, named_database
from whoholds.scopes import scope
from whoholds.watching.holders import Holders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from whoholds.analysis.finding import Finding

SOURCES = {
    "cars.py": (42, "conn = psycopg2.connect(DSN)"),
    "report.py": (17, "Thread(target=load_cars, args=(user,)).start()"),
    "app.py": (9, "conn = psycopg2.connect(DSN)"),
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder `shop` with the sources, in the working directory."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, (line, source) in SOURCES.items():
        (folder / name).write_text("\n" * (line - 1) + f"    {source}\n")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def shown_anew() -> Iterator[None]:
    """Let paths be shown below the working directory again afterwards."""
    yield
    frames.shown_below(None)


@pytest.mark.usefixtures("shown_anew")
def test_a_program_that_goes_elsewhere_is_shown_as_before(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon goes to the root, a test to its folder: one line has one name."""
    frames.shown_below_here()
    before = frames.shown_path(f"{shop}/cars.py")
    monkeypatch.chdir("/")
    assert before == frames.shown_path(f"{shop}/cars.py") == os.path.join("shop", "cars.py")
    assert frames.shown_path("/elsewhere/cars.py") == "/elsewhere/cars.py"


@pytest.mark.usefixtures("shown_anew")
def test_in_the_root_paths_are_whole(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service is started there: without its first character a path leads nowhere."""
    monkeypatch.chdir("/")
    assert frames.shown_path(f"{shop}/cars.py") == f"{shop}/cars.py"
    frames.shown_below_here()
    assert frames.shown_path(f"{shop}/cars.py") == f"{shop}/cars.py"


def crowd(shop: Path, **limits: object) -> Finding:
    """Give the finding that FINDINGS shows."""
    program = Program(**limits)
    held = program.fans_out(35, f"{shop}/cars.py:42 load_cars", f"{shop}/report.py:17 build")
    for handle in held[:31]:
        handle.in_transaction = True
    program.opens(f"{shop}/app.py:9 main", thread())
    return next(one for one in program.looks(9.4) if one.rule == "too-many-at-once")


def test_the_report_is_as_promised(shop: Path) -> None:
    """Word by word what the documentation shows: who, where, how many, what to do."""
    lines = text(crowd(shop)).splitlines()
    assert lines[0] == (
        "whoholds: too-many-at-once: shop/cars.py:42 in load_cars opened 35 of 36 connections at once, "
        "spawned at shop/report.py:17 in build, to app@127.0.0.1/shop"
    )
    folded = [" ".join(line.split()) for line in lines[1:]]
    here = r"tests/worlds\.py:\d+ in looks"
    assert re.fullmatch(rf"now 31 threads at \S*{here}, idle in transaction", folded.pop(2))
    assert re.fullmatch(rf"4 threads at \S*{here}, idle", folded.pop(2))
    assert re.fullmatch(rf"now at \S*{here}, idle", folded.pop(4))
    assert folded[:5] == [
        "35 opened shop/cars.py:42 in load_cars conn = psycopg2.connect(DSN)",
        "spawned shop/report.py:17 in build Thread(target=load_cars, args=(user,)).start()",
        "held for up to 9.4 s, by 35 threads, such as Thread-0",
        "1 opened shop/app.py:9 in main conn = psycopg2.connect(DSN)",
        "held for 9.4 s, by MainThread",
    ]
    assert folded[-2].startswith("The program starts a thread for each item, and each thread opens")


def test_holders_are_counted_and_not_what_they_hold() -> None:
    """One thread that holds three connections is one thread, wherever it is now."""
    program = Program(too_many=3)
    main = thread()
    for _ in range(3):
        program.opens("/srv/shop/app.py:9 main", main)
    (found,) = [one for one in program.looks(1.0) if one.rule == "too-many-at-once"]
    (place,) = [line.split() for line in text(found).splitlines() if line.startswith("        now")]
    assert place[:2] == ["now", "at"]


def test_tasks_of_one_name_are_several() -> None:
    """Starlette's middleware gives each request's task one name."""
    program = Program(too_many=3)
    for _ in range(3):
        program.opens("/srv/shop/app.py:9 main", task("coro"))
    (found,) = [one for one in program.looks(1.0) if one.rule == "too-many-at-once"]
    assert "by 3 tasks, such as coro" in text(found)


def test_a_finding_prints_as_its_report(shop: Path) -> None:
    """`print(finding)` is the report; in a list, and in a failed assertion, it is the first line."""
    finding = crowd(shop)
    assert str(finding) == text(finding)
    assert repr([finding]) == f"[<{message(finding)}>]"


def findings_of_every_rule() -> list[Finding]:
    """Give one finding of each rule that a program with a clock alone brings about, and their repeats."""
    program = Program(held_too_long=3, idle_in_transaction=2, owner_gone=1, too_many=3, server_limit=5)
    found: list[Finding] = []
    for handle in program.fans_out(4):
        handle.in_transaction = True
    lost = thread("Thread-9", REPORT)
    program.opens("/srv/shop/lost.py:5 lose", lost)
    program.opens("/srv/shop/lost.py:5 lose")
    lost.ident = -1
    kept = program.opens("/srv/shop/back.py:5 keep")
    program.opens("/srv/shop/back.py:5 keep")
    program.ledger.refused(RuntimeError("FATAL: sorry, too many clients already"), SHOP, None)
    for _ in range(6):
        found += program.looks()
    program.ledger.closed(kept)
    program.ledger.closed(program.opens("/srv/shop/gone.py:5 drop"), "collected")
    return [*found, *program.looks(), *program.exits()]


def test_every_first_line_stands_alone() -> None:
    """One line: rule and opening line within 80 columns, then how many of what, the spawn line, the database."""
    found = findings_of_every_rule()
    assert {one.rule for one in found} >= {
        "too-many-at-once",
        "refused",
        "owner-gone",
        "held-too-long",
        "idle-in-transaction",
        "left-open",
        "collected-open",
        "given-back",
    }
    for one in found:
        line = message(one)
        assert re.match(rf"{one.rule}: \S+\.py:\d+ in \w+ ", line), line
        assert re.match(r".{,80}\.py:\d+ in \w+ ", f"whoholds: {line}"), line
        assert "\n" not in line
        assert len(line) < 220
        assert ", to app@127.0.0.1/shop" in line
        assert re.search(rf"\b{one.count} connections?\b", line), line
        assert ("spawned at" in line) == (one.spawned is not None)
        assert text(one).splitlines()[0] == f"whoholds: {line}"


def test_a_template_holds_no_numbers_hosts_or_paths() -> None:
    """What differs from telling to telling is in the arguments, so that error trackers group them."""
    for one in findings_of_every_rule():
        template, arguments = first_line(one)
        assert not re.search(r"\d", re.sub(r"%(\.\d)?[dfs]", "", template)), template
        assert "127.0.0.1" not in template
        assert ".py" not in template
        assert template % arguments == message(one)


def test_one_finding_has_one_template_for_any_count_and_telling() -> None:
    """Singular, plural, "×3 since": all the same message to a tracker."""
    by_print: dict[str, set[str]] = {}
    for count, repeats in itertools.product((1, 2, 5), (0, 3)):
        program = Program()
        for _ in range(count):
            program.ledger.closed(program.opens(), "collected")
        found = program.looks()
        for _ in range(repeats):
            program.ledger.closed(program.opens(), "collected")
        for one in (*found, *program.exits()):
            by_print.setdefault(one.fingerprint, set()).add(first_line(one)[0])
    assert [len(templates) for templates in by_print.values()] == [1]


def test_a_percent_sign_in_a_name_is_no_place() -> None:
    """`<listcomp%s>` as a function's name, from generated code."""
    program = Program()
    program.ledger.closed(program.opens("/srv/shop/cars.py:42 100%s"), "collected")
    (one,) = program.looks()
    assert "in 100%s" in message(one)


def test_a_repeat_says_how_many_since() -> None:
    """In its first line."""
    program = Program(repeat=5)
    program.ledger.closed(program.opens(), "collected")
    program.looks()
    program.clock.advance(6)
    program.ledger.closed(program.opens(), "collected")
    (again,) = program.looks()
    assert message(again).endswith("(×1 since)")


def test_source_lines_can_be_left_out(shop: Path) -> None:
    """WHOHOLDS_SOURCE=0: nowhere, also not in the record."""
    assert "psycopg2.connect" in text(crowd(shop))
    found = crowd(shop, source=False)
    assert "psycopg2.connect" not in text(found, source=False)
    assert "psycopg2.connect" not in str(finding_record(found, source=False))


SECRETS = ["hunter2", "s3cr3t", "tops3cret"]


def test_no_secret_is_told(shop: Path) -> None:
    """Not from the source line, not from the program's exception, not from the command line."""
    (shop / "cars.py").write_text(
        "\n" * 41 + "    conn = psycopg2.connect('postgresql://app:hunter2@db/shop', password='s3cr3t')\n"
    )
    program = Program()
    held = program.fans_out(20, f"{shop}/cars.py:42 load_cars", f"{shop}/report.py:17 build")
    error = RuntimeError('connection to "postgresql://app:tops3cret@db/shop" failed: password=hunter2')
    program.ledger.refused(error, SHOP, None)
    told = program.looks()
    for handle in held[:2]:
        program.ledger.closed(handle, "collected")
    told += program.exits()
    everything = "\n".join(text(one) + message(one) + str(finding_record(one)) for one in told)
    assert "psycopg2.connect" in everything
    assert [secret for secret in SECRETS if secret in everything] == []


FORGED = "x\n2026-11-27 03:00:00 CRITICAL root all is lost\x1b[2J\u202e"


def test_a_name_writes_no_line_of_its_own() -> None:
    """Anybody may have chosen the path of a request, and so the name of a scope: terminals and logs get text alone."""
    program = Program()
    owner = thread(FORGED, REPORT)
    database = Database("postgresql", "app", "127.0.0.1", 5432, FORGED)
    with scope(FORGED):
        program.opens(CARS, owner, database)
    held = str(Holders(program.watch.handles, program.clock()))
    error = RuntimeError(FORGED)
    program.ledger.refused(error, database, None)
    found = [*program.looks(), *program.exits()]
    assert {one.rule for one in found} >= {"left-open", "refused"}
    logged = [template % arguments for template, arguments in map(first_line, found)]
    for shown in (held, *logged, *map(message, found), *map(text, found)):
        assert not re.search("[\x1b\u202e]", shown), shown
        assert not re.search("^2026", shown, re.MULTILINE), shown
    assert not any("\n" in message(one) for one in found)
    assert "all is lost" in text(found[0])


def test_a_database_is_told_without_its_password() -> None:
    """User, host, port and name; there is nowhere to put more."""
    assert str(Database("postgresql", "app", "db", 5432, "shop")) == "postgresql://app@db:5432/shop"
    assert "password" not in Database.__slots__


def test_a_long_name_of_a_database_in_memory_is_cut() -> None:
    """In its middle: who made it stands at its beginning, and its end tells two of them apart; a path is whole."""
    name = f"shop-{'x' * 200}-7?mode=memory"
    cut = database_name(Database("sqlite", name=name))
    assert cut == f"shop-{'x' * 19}…{'x' * 21}-7?mode=memory"
    assert (len(cut), named_database(f"sqlite:///{name}")) == (60, cut)
    for whole in ("shop?mode=memory", f"/srv/{'x' * 200}.db"):
        assert database_name(Database("sqlite", name=whole)) == whole


def stacked(*frames: str) -> Finding:
    """Give a finding whose handle was opened through these frames, innermost first."""
    program = Program()
    origin = from_lines([(line.split()[0], number, line.split()[1]) for number, line in enumerate(frames, 1)])
    program.ledger._origin = lambda _, __: origin
    program.ledger.closed(program.ledger.opened(CONNECTION, "psycopg2", SHOP, None, None), "collected")
    (found,) = program.looks()
    return found


LIBRARY = "/venv/lib/python3/site-packages/flask/app.py"


def test_library_frames_are_folded_by_file() -> None:
    """Runs of them are one line with their number; the user's are shown, five unless asked for more."""
    found = stacked("/srv/a.py load", f"{LIBRARY} run", f"{LIBRARY} call", "/srv/b.py view", "/srv/c.py main")
    lines = [line.strip() for line in text(found).splitlines()]
    start = lines.index("how it was opened:")
    assert lines[start + 1 : start + 5] == [
        "/srv/a.py:1 in load",
        "… 2 library frames",
        "/srv/b.py:4 in view",
        "/srv/c.py:5 in main",
    ]


def test_five_frames_unless_asked_for_more() -> None:
    """Of the user's own."""
    found = stacked(*(f"/srv/a.py f{number}" for number in range(9)))
    assert text(found).count("/srv/a.py:") == 1 + 1 + 5
    assert text(found, most_frames=16).count("/srv/a.py:") == 1 + 1 + 9


def test_the_users_innermost_frame_is_named_and_no_librarys() -> None:
    """Told by file, never by a count of frames; where all is a library, the innermost that is not watched."""
    found = stacked(f"{LIBRARY} run", "/srv/a.py load", "/srv/b.py main")
    assert found.opened is not None
    assert (found.opened.file, found.opened.function) == ("/srv/a.py", "load")
    found = stacked(f"{LIBRARY} run", f"{LIBRARY} main")
    assert found.opened is not None
    assert found.opened.function == "run"


def test_holders_say_who_holds_what_now() -> None:
    """Grouped by database, largest first, and by line; nobody: so too."""
    program = Program()
    program.fans_out(3)
    program.opens("/srv/shop/app.py:9 main", thread(), STOCK)
    program.looks()
    lines = [" ".join(line.split()) for line in str(Holders(program.watch.handles, program.clock())).splitlines()]
    assert lines == [
        "whoholds: 3 connections open to app@127.0.0.1/shop",
        "3 opened /srv/shop/cars.py:42 in load_cars",
        "spawned /srv/shop/report.py:17 in build",
        "held for up to 1.0 s, by 3 threads, such as Thread-0",
        "whoholds: 1 connection open to app@127.0.0.1/stock",
        "1 opened /srv/shop/app.py:9 in main",
        "held for 1.0 s, by MainThread",
    ]
    assert str(Holders([], 0.0)) == "whoholds: nothing is held"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (0, "by 3 threads, such as Thread-0"),
        (1, "by 3 threads, of which 1 has ended, such as Thread-0"),
        (2, "by 3 threads, of which 2 have ended, such as Thread-0"),
        (3, "by 3 threads that have ended, such as Thread-0"),
    ],
)
def test_holders_that_have_ended_are_said_to_have(ended: int, said: str) -> None:
    """Nobody looks for a task that is there no more; of what is closed it does not matter."""
    program = Program()
    handles = program.fans_out(3)
    program.looks()
    for handle in handles[:ended]:
        ends(handle.owner)
    program.looks()
    assert f"held     for up to 2.0 s, {said}" in str(Holders(program.watch.handles, program.clock()))
    for handle in handles:
        program.ledger.closed(handle)
    assert "ended" not in str(Holders(handles, program.clock()))


def test_a_holder_that_has_ended_is_said_to_have() -> None:
    """A single one, too."""
    program = Program()
    owner = thread("mailer", REPORT)
    program.opens(CARS, owner)
    ends(owner)
    program.looks()
    assert "held     for 1.0 s, by mailer, which has ended" in str(Holders(program.watch.handles, program.clock()))


def test_fingerprints_are_stable_over_lines_and_processes() -> None:
    """Rule, opening function, spawn function, kind of database: a moved line is the same finding."""

    def print_of(line: str, spawned: str, to: Database) -> str:
        program = Program()
        program.ledger.closed(program.opens(line, thread("t", spawned), to), "collected")
        (found,) = program.looks()
        return found.fingerprint

    first = print_of(CARS, REPORT, SHOP)
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert print_of("/other/place/cars.py:99 load_cars", "/x/report.py:3 build", STOCK) == first
    others = [
        print_of("/srv/shop/cars.py:42 load_users", REPORT, SHOP),
        print_of(CARS, "/srv/shop/report.py:17 nightly", SHOP),
        print_of(CARS, REPORT, FILE),
    ]
    assert len({first, *others}) == 4


def test_a_place_is_told_relative_to_the_working_directory(shop: Path) -> None:
    """Where it lies below it; else as it is."""
    sites = Sites()
    below = sites.of(at(f"{shop}/cars.py:42 load_cars"))
    assert below.frame.place == "shop/cars.py:42"
    assert sites.of(at("/elsewhere/cars.py:3 load")).frame.place == "/elsewhere/cars.py:3"


def test_what_runs_and_what_waits_is_said() -> None:
    """Two clocks: held, and idle in transaction; a running statement is neither idle nor forgotten."""
    held = Handle(CONNECTION, "psycopg2", SHOP, thread("Thread-1", REPORT), at(CARS))
    held.caller, held.in_transaction = 4711, True
    held.site = Sites().of(held.origin)
    assert "in a statement" in str(Holders([held], 5.0))
    assert "idle in transaction" not in str(Holders([held], 5.0))
    held.caller = 0
    assert "idle in transaction" in str(Holders([held], 5.0))
