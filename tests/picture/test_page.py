"""The page in a real browser: what it shows, how it is used, and that nothing of the program's becomes markup."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.needs import needed
from tests.picture.generated import EPOCH, finding, handles, write_journal
from whoholds.picture.gathering import Gathered
from whoholds.picture.page import page, page_of
from whoholds.reporting.reading import Journal
from whoholds.reporting.records import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    Opened = Callable[..., Any]

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]

# For each column of a canvas the stretches of colour in it: the bars that it crosses, if the rows have gaps between them.
CROSSED = """(canvas) => {
  const {width, height} = canvas;
  const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
  return Array.from({length: width}, (_, x) => {
    let bars = 0, before = false;
    for (let y = 0; y < height; y++) {
      const inked = data[(y * width + x) * 4 + 3] > 60;
      if (inked && !before) bars++;
      before = inked;
    }
    return bars;
  });
}"""
# The columns in which the first row of a canvas has colour.
INKED = """(canvas) => {
  const {data} = canvas.getContext('2d').getImageData(0, 4, canvas.width, 1);
  return Array.from({length: canvas.width}, (_, x) => x).filter((x) => data[x * 4 + 3] > 60);
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def drawn(path: Path, records: list[dict[str, Any]]) -> Path:
    """The page for a journal with these records."""
    html = path.with_suffix(".html")
    html.write_bytes(page_of([Journal(write_journal(path, records))]))
    return html


TWO_FILES = """
import sqlite3, time

kept = []

def load(name):
    kept.append(sqlite3.connect(name))

for name in ["cars.db", "cars.db", "cars.db", "users.db", "users.db"]:
    load(name)
time.sleep(0.3)
"""


def test_the_numbers_of_the_page_agree(tmp_path: Path, opened: Opened) -> None:
    """Head, lane and findings, though there are two databases, and though two rules name the same connections."""
    (tmp_path / "app.py").write_text(TWO_FILES)
    command = [sys.executable, "-m", "whoholds", "run", "--html", "run.html", "app.py"]
    environ = {**os.environ, "WHOHOLDS_TOO_MANY": "3"}
    ran = subprocess.run(command, cwd=tmp_path, env=environ, check=True, timeout=60, capture_output=True, text=True)  # noqa: S603
    shown = opened(tmp_path / "run.html")
    numbers = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown.inner_html("#numbers")))
    assert "whoholds: 1 finding (1 error): 5 connections opened, at most 3 at once to cars.db" in ran.stderr
    assert numbers == {"at most open at once": "5", "connections opened": "5", "open at the end": "5", "error": "1"}
    assert shown.get_by_role("treeitem", name=re.compile("5 opened, at most 5 at once, 5 open at the end")).count() == 1
    assert shown.locator("#findings h2 small").inner_text() == "1, in 2 reports"
    buttons = sorted(button.inner_text() for button in shown.get_by_role("button", name=re.compile("its .*bars")).all())
    assert buttons == ["Show its 3 bars", "Show its 5 bars"]


def pressed(shown: Any, *keys: str) -> Any:
    """The page after these keys."""
    for key in keys:
        shown.keyboard.press(key)
        shown.evaluate(FRAME)
    return shown


def curve(shown: Any) -> str:
    """The curve's pixels."""
    pixels: str = shown.evaluate("() => document.querySelector('#plot canvas').toDataURL()")
    return pixels


FAN_OUT = """
import threading
import psycopg2
from shop_database import shop_database

CARS = "SELECT count(*) FROM cars, pg_sleep(0.3) WHERE owner_id = 7"
asked, everybody_asked = threading.Semaphore(0), threading.Event()

def load_cars(url):
    try:
        connection = psycopg2.connect(url)
    except psycopg2.OperationalError:
        return
    finally:
        asked.release()
    everybody_asked.wait()
    connection.cursor().execute(CARS)
    connection.close()

def build_report(url):
    threads = [threading.Thread(target=load_cars, args=[url]) for _ in range(40)]
    for thread in threads:
        thread.start()
    for _ in threads:
        asked.acquire()
    everybody_asked.set()
    for thread in threads:
        thread.join()

with shop_database() as url:
    build_report(url)
"""


@pytest.fixture(scope="module")
def fan_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture of a fan-out, as a user makes it: 40 threads, of which a real server gives 30 a connection."""
    folder = tmp_path_factory.mktemp("fan_out")
    (folder / "fan_out.py").write_text(FAN_OUT)
    command = [sys.executable, "-m", "whoholds", "run", "--html", "run.html", "fan_out.py"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}
    subprocess.run(command, cwd=folder, env=environ, check=True, timeout=120, capture_output=True)  # noqa: S603
    return folder / "run.html"


def test_a_fan_out_is_a_wall_of_as_many_bars_as_handles(fan_out: Path, opened: Opened) -> None:
    """Most columns of the canvas are crossed by 30 bars, with the peak's number in the head and a mark for each finding."""
    shown = opened(fan_out)
    numbers = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown.inner_html("#numbers")))
    assert (numbers["at most open at once"], numbers["requests refused"]) == ("30", "10")
    lane = shown.get_by_role(
        "treeitem", name=re.compile(r"fan_out\.py:11 in load_cars 30 opened, at most 30 at once, 10 ref")
    )
    crossed = Counter(bars for bars in lane.locator("canvas").evaluate(CROSSED) if bars > 1)
    assert crossed.most_common(1)[0][0] == 30
    marks = shown.locator(".mark")
    labels = " ".join([mark.get_attribute("aria-label") or "" for mark in marks.all()])
    assert sorted(re.findall(r"[a-z-]+-once|refused", labels)) == ["refused", "too-many-at-once"]
    assert sum(map(int, re.findall(r"(\d+) findings?:", labels))) == 2  # of one look they may share a mark
    assert shown.locator(".finding.error h3").inner_text().startswith("refused")
    shown.get_by_text("The whole report").first.click()
    assert "too many clients" in shown.locator(".finding pre").first.inner_text()


def test_a_click_on_a_bar_tells_all_of_it(fan_out: Path, opened: Opened) -> None:
    """Line, owner, spawn line, last statement without literals, and the stacks to unfold."""
    shown = opened(fan_out)
    canvas = shown.locator("#lanes canvas").first
    shown.evaluate(FRAME)
    inked = canvas.evaluate(INKED)
    inside = {"x": inked[len(inked) // 2], "y": 4}
    canvas.hover(position=inside)
    assert "Connection at" in shown.inner_text("#tip")
    canvas.click(position=inside)
    details = shown.inner_text("#details")
    for told in ("fan_out.py:11 in load_cars", "Thread-", "thread.start()", "pg_sleep(?)", "closed, or given back"):
        assert told in details
    shown.get_by_text("Where its owner was started").first.click()
    assert "in build_report" in shown.locator("#details details[open]").inner_text()
    assert re.search(r"#handle-\d+-\d+$", shown.url)


def test_a_link_opens_the_page_at_its_bar(fan_out: Path, opened: Opened) -> None:
    """As a failure in a test's output has it."""
    shown = opened(fan_out)
    shown.locator("#lanes [role=treeitem]").first.focus()
    title = pressed(shown, "n", "n").inner_text("#details h2")
    again = opened(Path(f"{fan_out}"), color_scheme="dark")
    again.goto(shown.url)
    again.reload()
    again.wait_for_selector("html[data-drawn]")
    assert again.inner_text("#details h2") == title


def test_keys_zoom_move_and_walk(fan_out: Path, opened: Opened) -> None:
    """Without a mouse: the same curve again after all of it; lines unfold; bars are read out."""
    shown = opened(fan_out)
    shown.evaluate(FRAME)
    whole = curve(shown)
    assert curve(pressed(shown, "+")) != whole
    assert curve(pressed(shown, "0")) == whole
    shown.focus("#plot")
    zoomed = curve(pressed(shown, "+", "+"))
    assert curve(pressed(shown, "ArrowRight")) != zoomed
    pressed(shown, "0")
    shown.locator("#lanes [role=treeitem]").first.focus()
    pressed(shown, "ArrowRight")
    assert shown.locator("#lanes [aria-level='2']").count() == 40
    assert shown.locator("#lanes [role=treeitem]").first.get_attribute("aria-expanded") == "true"
    pressed(shown, "ArrowDown", "n")
    assert shown.locator("#details").get_attribute("aria-live") == "polite"
    assert re.match(r"(Connection|Refused request)", shown.inner_text("#details h2"))
    focused = []
    for key in ("Escape", "f"), ("f",):
        pressed(shown, *key)
        focused.append(shown.evaluate("document.activeElement.id"))
    assert sorted(focused) == ["finding-0", "finding-1"]  # the earlier first: either may be
    pressed(shown, "/")
    assert shown.evaluate("document.activeElement.id") == "search"
    pressed(shown, "x", "Escape", "0", "+")
    assert shown.input_value("#search") == ""
    assert curve(shown) != whole


def test_the_mouse_zooms(fan_out: Path, opened: Opened) -> None:
    """A drag over the curve, and the wheel with Ctrl over the bars; two clicks show the whole run again."""
    shown = opened(fan_out)
    shown.evaluate(FRAME)
    whole = curve(shown)
    over = shown.locator("#plot .u-over").bounding_box()
    shown.mouse.move(over["x"] + over["width"] * 0.3, over["y"] + 60)
    shown.mouse.down()
    shown.mouse.move(over["x"] + over["width"] * 0.6, over["y"] + 60, steps=4)
    shown.mouse.up()
    shown.evaluate(FRAME)
    shown.mouse.move(0, 0)
    zoomed = curve(shown)
    assert zoomed != whole
    shown.locator("#lanes canvas").first.hover()
    shown.keyboard.down("Control")
    shown.mouse.wheel(0, -300)
    shown.keyboard.up("Control")
    shown.evaluate(FRAME)
    assert curve(shown) != zoomed
    shown.get_by_role("button", name="Whole run").click()
    shown.evaluate(FRAME)
    assert curve(shown) == whole


def test_search_and_filters_choose_bars_and_rows(tmp_path: Path, opened: Opened) -> None:
    """Lanes, curve and tables follow; nothing is said where nothing matches."""
    records = handles(60, over=10, held=2, lines=3)
    chosen = [record for record in records if record["opened"]["function"] == "view_1"]
    shown = opened(drawn(tmp_path / "run.jsonl", [*records, finding(chosen)]))
    assert shown.locator("#lanes [role=treeitem]").count() == 3
    shown.select_option("#severity", "1")
    assert shown.locator("#lanes [role=treeitem]").count() == 1
    assert shown.locator("#panel tbody tr").count() == 1
    assert "at most" in shown.inner_text("#legend")
    shown.get_by_role("button", name="Show all").click()
    shown.fill("#search", "view_2 thread-5")
    shown.locator("#lanes [role=treeitem]").nth(1).wait_for(state="detached")
    assert "view_2" in shown.inner_text("#lanes")
    shown.fill("#search", "no such line")
    shown.wait_for_selector("#nothing:visible")


def test_the_table_sorts(tmp_path: Path, opened: Opened) -> None:
    """By a click on a head; the direction is told to a screen reader."""
    shown = opened(drawn(tmp_path / "run.jsonl", handles(60, over=10, held=2, lines=7)))

    def opened_column() -> list[int]:
        return [int(cell) for cell in shown.locator("#panel tbody tr td:nth-child(2)").all_inner_texts()]

    shown.get_by_role("columnheader", name="Opened", exact=True).get_by_role("button").click()
    assert opened_column() == sorted(opened_column(), reverse=True)
    shown.get_by_role("columnheader", name="Opened", exact=True).get_by_role("button").click()
    assert opened_column() == sorted(opened_column())
    assert shown.locator("th[aria-sort=ascending]").inner_text().startswith("Opened")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_whoever_cannot_see_it_can_use_it(fan_out: Path, opened: Opened, theme: str) -> None:
    """axe-core finds no fault, with a line unfolded and a bar chosen: names, roles, contrasts, order."""
    axe = needed("axe_playwright_python.sync_playwright").Axe()
    shown = opened(fan_out, color_scheme=theme, bypass_csp=True)
    shown.locator("#lanes [role=treeitem]").first.focus()
    pressed(shown, "n", "ArrowRight")
    found = axe.run(shown).response["violations"]
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in found] == []


def test_dark_and_print(fan_out: Path, opened: Opened) -> None:
    """The page follows the system and its button; on paper it is light, with every report unfolded."""
    shown = opened(fan_out, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = shown.evaluate(background)
    shown.get_by_role("button", name="Light").click()
    assert shown.evaluate(background) != dark
    shown.get_by_role("button", name="Dark").click()
    paper = shown.pdf()
    assert paper.startswith(b"%PDF")
    assert shown.evaluate(background) == dark
    assert shown.locator(".finding details[open]").count() == shown.locator(".finding").count()


# --- nothing of the program's becomes markup ------------------------------------------------------------------------------

HOSTILE = (
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "--><svg onload='window.pwned = 1'><!--",
    "{{ script }}{{ data }}",
    "\"'`&lt;b&gt;${window.pwned = 1}",
    "javascript:window.pwned=1",
    "\u2028\u2029\u202e\x00\x1b[31m",
    "</style><style>*{display:none}</style>",
    "<!--<script>",
    "]]>",
)


def hostile_records(seed: int) -> list[dict[str, Any]]:
    """Handles and findings whose every text is hostile."""
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choices(HOSTILE, k=rng.randrange(1, 4)))

    def place() -> dict[str, Any]:
        return {"file": f"/srv/{text()}.py", "line": rng.randrange(99), "function": text(), "source": text()}

    records = handles(12, over=5, held=2, lines=3, seed=seed)
    for record in records:
        record.update(opened=place(), spawned=place(), owner=text(), database=text(), scope=text(), driver=text())
        record.update(statements=[[text(), 0.1, 0.1]], trace_id=text(), stack=[place()], spawn_stack=[place()])
    said = {"report": text(), "message": text(), "rule": text(), "stack": [place()], "spawn_stack": [place()]}
    refused = {"type": "refused", "database": text(), "asked": place(), "owner": text(), "pid": 1}
    aside = {"type": "aside", "slug": text(), "reason": text(), "pid": 1}
    return [
        *records,
        finding(records[:5], **said, now=[{"count": 1, "stack": [place()]}]),
        {**refused, "refused_at": iso(EPOCH + 1)},
        aside,
        {
            "type": "run",
            "pid": 2,
            "argv": ["python", text()],
            "host": text(),
            "cwd": text(),
            "limits": {text(): text()},
        },
    ]


@pytest.mark.parametrize("seed", range(4))
def test_no_text_becomes_markup(tmp_path: Path, opened: Opened, seed: int) -> None:
    """Names, lines, SQL, reports: text that is shown, in every part of the page."""
    shown = opened(drawn(tmp_path / "run.jsonl", hostile_records(seed)))
    for lane in shown.locator("#lanes [role=treeitem]").all()[:6]:
        lane.focus()
        pressed(shown, "n")
        lane.locator("canvas").hover(position={"x": 200, "y": 3}) if lane.locator("canvas").count() else None
    for tab in shown.locator("#tabs button").all():
        tab.click()
    pressed(shown, "Escape", "f")
    shown.locator(".mark").first.hover()
    assert shown.evaluate("window.pwned") is None
    assert shown.evaluate("document.scripts.length") == 3
    assert shown.evaluate("document.styleSheets.length") == 1
    assert shown.locator("img, svg, iframe, object, link, b:has(*)").count() == 0
    assert "<" in shown.inner_text("#lanes")


def test_the_policy_refuses_a_script_that_got_in(fan_out: Path, browser: Any) -> None:
    """Even if a text became markup: inline scripts, event handlers and loads are refused."""
    shown = browser.new_page()
    refused: list[str] = []
    shown.on("console", lambda message: refused.append(message.text))
    shown.goto(fan_out.as_uri())
    shown.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.pwned = 1';
          document.body.append(script);
          const box = document.createElement('div');
          box.innerHTML = '<img src="https://example.org/x.png" onerror="window.pwned = 1">';
          document.body.append(box);
        }"""
    )
    shown.wait_for_timeout(50)
    assert shown.evaluate("window.pwned") is None
    assert len([text for text in refused if "Content Security Policy" in text or "Refused" in text]) >= 2
    shown.close()


# --- many -----------------------------------------------------------------------------------------------------------------


def test_a_thousand_open_at_once(tmp_path: Path, opened: Opened) -> None:
    """Too many rows for bars: drawn as density, and said; the number is exact."""
    shown = opened(drawn(tmp_path / "run.jsonl", handles(1000, over=0.4, held=2, lines=1)))
    assert "1\u202f000" in shown.inner_text("#numbers")
    assert "drawn as density" in shown.inner_text("#lanes .dense")


def test_a_hundred_thousand_handles(tmp_path: Path, opened: Opened) -> None:
    """Less than 20 MB; bars again when one zooms in."""
    times = 100
    records = handles(1000, over=300, held=0.4, lines=40)
    data = Gathered([Journal(write_journal(tmp_path / "run.jsonl", records))]).as_data()
    columns = {name: column * times for name, column in data["bars"].items()}
    names = [f"ThreadPoolExecutor-0_{number}" for number in range(1000 * times)]
    columns["owner"] = [len(data["strings"]) + number for number in range(len(names))]
    columns["opened"] = [step or 1 for step in columns["opened"]]
    data.update(bars=columns, length=data["length"] * times, strings=[*data["strings"], *names])
    path = tmp_path / "run.html"
    path.write_bytes(page(data))
    assert path.stat().st_size < 20_000_000
    shown = opened(path)
    assert "100\u202f000" in shown.inner_text("#numbers")
    shown.wait_for_selector("#lanes .dense:visible")
    pressed(shown, *"+" * 8)
    assert shown.locator("#lanes .dense:visible").count() == 0
    canvases = "() => [...document.querySelectorAll('#lanes canvas')].slice(0, 8)"
    crossed = shown.evaluate(f"() => ({canvases})().flatMap({CROSSED})")
    assert max(crossed) >= 1


def test_the_data_of_the_page_is_the_journals(fan_out: Path, opened: Opened) -> None:
    """A script that reads the page gets the same texts, and no password."""
    shown = opened(fan_out)
    data = json.loads(shown.inner_text("#data") or shown.evaluate("document.getElementById('data').textContent"))
    assert data["version"] == 1
    assert not any("password" in text.lower() for text in data["strings"])
