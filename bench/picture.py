"""`python bench/picture.py`: how large a picture is, how long it takes to make, to draw and to zoom, in real Chromium.

With `--shots FOLDER` it draws `examples/fan_out.py` instead, and writes the two pictures of the documentation, light
and dark, as WebP files.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402 - found on the path above
from tests.picture.generated import finding, handles, write_journal  # noqa: E402

from whoholds.picture.page import page_of  # noqa: E402
from whoholds.reporting.reading import Journal  # noqa: E402

RUNS = (
    ("1 000 handles, all open at once", {"count": 1000, "over": 0.4, "held": 2, "lines": 1}),
    ("10 000 handles in an hour", {"count": 10_000, "over": 3600, "held": 0.4, "lines": 40}),
    ("100 000 handles in eight hours", {"count": 100_000, "over": 8 * 3600, "held": 0.4, "lines": 40}),
)
# From the start of the page to the frame after the one in which it was drawn.
WATCH = """
new MutationObserver(() => {
  if (document.documentElement.dataset.drawn && !window.drawnAt)
    requestAnimationFrame(() => requestAnimationFrame(() => { window.drawnAt ??= performance.now(); }));
}).observe(document, {attributes: true, subtree: true});
"""
ZOOM = """async () => {
  const took = [];
  for (const key of [...'++++++++++----------']) {
    const began = performance.now();
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took.push(performance.now() - began);
  }
  return took;
}"""
TO_WEBP = """async (png) => {
  const picture = new Image();
  picture.src = 'data:image/png;base64,' + png;
  await picture.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext('2d').drawImage(picture, 0, 0);
  return canvas.toDataURL('image/webp', 0.9).split(',')[1];
}"""


def measured(browser: Any, folder: Path, run: dict[str, Any]) -> tuple[float, float, float, float, float]:
    """MB of journal and page; seconds to make it; milliseconds to draw it; milliseconds for a zoom, the median."""
    records = handles(**run)
    journal = write_journal(folder / "run.jsonl", [*records, finding(records[:30])])
    began = time.perf_counter()
    page = page_of([Journal(journal)])
    made = time.perf_counter() - began
    html = folder / "run.html"
    html.write_bytes(page)
    shown = browser.new_page(viewport={"width": 1500, "height": 1000})
    shown.add_init_script(WATCH)
    shown.goto(html.as_uri())
    shown.wait_for_selector("html[data-drawn]")
    shown.wait_for_timeout(500)
    drawn = shown.evaluate("window.drawnAt")
    zoomed = median(shown.evaluate(ZOOM))
    shown.close()
    return journal.stat().st_size / 1e6, len(page) / 1e6, made, drawn, zoomed


def measure(browser: Any) -> None:
    print(f"{'run':34} {'journal':>9} {'page':>9} {'made in':>9} {'drawn in':>10} {'a zoom':>8}")
    for name, run in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            journal, page, made, drawn, zoomed = measured(browser, Path(folder), run)
        print(f"{name:34} {journal:6.1f} MB {page:6.2f} MB {made:7.1f} s {drawn:7.0f} ms {zoomed:5.0f} ms", flush=True)


def shoot(browser: Any, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        html = Path(temporary) / "run.html"
        program = ROOT / "examples" / "fan_out.py"
        command = [sys.executable, "-m", "whoholds", "run", "--html", str(html), str(program.relative_to(ROOT))]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for theme in ("light", "dark"):
            shown = browser.new_page(viewport={"width": 1400, "height": 790}, color_scheme=theme, timezone_id="UTC")
            shown.goto(html.as_uri())
            shown.wait_for_selector("html[data-drawn]")
            shown.wait_for_timeout(300)
            png = base64.b64encode(shown.screenshot()).decode()
            shown.goto("about:blank")
            file = folder / f"picture-{theme}.webp"
            file.write_bytes(base64.b64decode(shown.evaluate(TO_WEBP, png)))
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
            shown.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        print(f"Chromium {browser.version}, Python {sys.version.split()[0]}")
        shoot(browser, options.shots) if options.shots else measure(browser)
        browser.close()


if __name__ == "__main__":
    main()
