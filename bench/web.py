"""`python bench/web.py`: what the page in an application costs, from its mount on and when somebody asks for it.

With `--shot FILE` it serves a shop that holds too many connections, and writes the picture of the documentation, as
WebP.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.picture import TO_WEBP  # noqa: E402 - found on the path above
from tests import servers  # noqa: E402
from tests.web.asking import LOCAL, answer_of, asgi_scope, ask  # noqa: E402

import whoholds  # noqa: E402
from whoholds import web  # noqa: E402
from whoholds.web import recent  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = 5
SHOP = {
    "cars.py": """
import time
import psycopg2
def load_cars(url, user):
    connection = psycopg2.connect(url)
    connection.cursor().execute("SELECT count(*) FROM pg_class WHERE relpages > %s", [user])
    time.sleep(3600)
""",
    "prices.py": """
import time
from sqlalchemy import create_engine, text
def pool(url):
    return create_engine(url.replace("://", "+psycopg2://"), pool_size=2, max_overflow=0, pool_timeout=3600)
def price_of(engine, car):
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        time.sleep(3600)
""",
    "visits.py": """
import time
import psycopg2
def count_visits(url):
    while True:
        connection = psycopg2.connect(url)
        connection.cursor().execute("SELECT pg_sleep(0.4)")
        connection.close()
        time.sleep(1)
""",
    "app.py": """
import os, time
from threading import Thread
from fastapi import FastAPI
from whoholds import web
from shop.cars import load_cars
from shop.prices import pool, price_of
from shop.visits import count_visits
app = FastAPI()
app.mount("/debug/whoholds", web.asgi())
url = os.environ["URL"]
def build_report(users):
    for user in users:
        Thread(target=load_cars, args=[url, user], daemon=True).start()
        time.sleep(0.2)
Thread(target=count_visits, args=[url], daemon=True).start()
Thread(target=build_report, args=[range(22)], daemon=True).start()
engine = pool(url)
for car in range(5):
    Thread(target=price_of, args=[engine, car], daemon=True).start()
""",
}


def opened_and_closed(count: int) -> float:
    """Open and close so many connections, and return the seconds that the next look takes."""
    for _ in range(count):
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("SELECT 1")
    began = time.perf_counter()
    whoholds.current().tick()
    return time.perf_counter() - began


def seconds_for(form: str) -> float:
    """The seconds in which the page is made in this form."""
    began = time.perf_counter()
    ask("wsgi", query=f"format={form}")
    return time.perf_counter() - began


async def longest_pause(scope: dict[str, Any]) -> float:
    """The longest time in seconds for which the loop stood still while it answered with the page."""
    page = asyncio.ensure_future(answer_of(web.asgi(), scope))
    pauses = []
    while not page.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        pauses.append(time.perf_counter() - began - 0.001)
    return max(pauses)


def measure() -> None:
    print(f"Python {sys.version.split()[0]}; median of {TIMES}, except for pauses: the longest of {TIMES}")
    whoholds.start(outputs=(), every=3600, held_too_long=1e6)
    count = 1000
    opened_and_closed(count)
    without = median(opened_and_closed(count) for _ in range(TIMES))
    web.wsgi()
    with_page = median(opened_and_closed(count) for _ in range(TIMES))
    print(f"keeping one connection that has ended: {(with_page - without) / count * 1e6:.0f} µs, in the ticking thread")
    print(
        f"{'ended in the last minutes':26} {'kept':>8} {'page':>9} {'made in':>9} {'as text':>9} {'longest pause of a loop':>25}"
    )
    scope = asgi_scope({**LOCAL, "accept": "text/html"}, client="127.0.0.1", method="GET", query="", version="1.1")
    for ended in (0, 1000, 10_000):
        recent.forget()
        web.wsgi()
        for _ in range(ended // 1000):
            opened_and_closed(1000)
        size = len(ask("wsgi", query="format=html").text)
        html, text = (median(seconds_for(form) for _ in range(TIMES)) for form in ("html", "text"))
        kept = sum(len(line) for _, line in recent.recorded(whoholds.current())._kept.lines)
        pause = max(asyncio.run(longest_pause(scope)) for _ in range(TIMES))
        print(
            f"{ended:26} {kept / 1e6:5.1f} MB {size / 1e6:6.2f} MB {html * 1e3:6.0f} ms {text * 1e3:6.1f} ms"
            f" {pause * 1e3:22.0f} ms",
            flush=True,
        )


@contextlib.contextmanager
def shop() -> Iterator[str]:
    """The address of the page of a shop that has run for a while."""
    with tempfile.TemporaryDirectory() as folder, servers.postgres() as url:
        (Path(folder) / "shop").mkdir()
        for name, source in SHOP.items():
            (Path(folder) / "shop" / name).write_text(source)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "shop.app:app", "--port", str(port), "--log-level", "warning"]
        environ = {**os.environ, "WHOHOLDS": "1", "WHOHOLDS_SERVER_LIMIT": "30", "URL": url}
        process = subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.DEVNULL)
        time.sleep(40)
        yield f"http://localhost:{port}/debug/whoholds/"
        process.kill()
        process.wait()


def shoot(file: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, shop() as address:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1400, "height": 1240}, timezone_id="UTC")
        shown.goto(address)
        shown.wait_for_selector("html[data-drawn]")
        shown.wait_for_timeout(300)
        png = base64.b64encode(shown.screenshot()).decode()
        shown.goto("about:blank")
        file.write_bytes(base64.b64decode(shown.evaluate(TO_WEBP, png)))
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shot", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.shot:
        shoot(options.shot)
    else:
        measure()


if __name__ == "__main__":
    main()
