"""Everything with one command and without Docker: `python examples/observability/demo.py`.

It starts a PostgreSQL, a service that fans out, watched by an environment variable alone, and a Prometheus with the
rules beside this file, and says where to look. Ctrl-C, or the service's end, ends all of it; `--check` tells by exit
code whether the alerts fired before the server was full.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from shop_database import MAX_CONNECTIONS, free_port, shop_database  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVED = 3  # PostgreSQL keeps so many for its superusers
WANTED = ("ConnectionsNearServerLimit", "WhoholdsError")
SCRAPE = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit code 0 if the alerts fired, 1 if not")
    parser.add_argument("--keep", type=Path, help="folder to keep the spans in")
    given = parser.parse_args()
    if shutil.which("prometheus") is None:
        print("needs Prometheus: on Debian, apt-get install prometheus", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whoholds-demo-")))
        url = stack.enter_context(shop_database())
        port, web = free_port(), free_port()
        spans = (given.keep or folder) / "spans.jsonl"
        service = stack.enter_context(running_service(url, port, spans))
        stack.enter_context(running_prometheus(folder, port, web))
        prometheus = f"http://127.0.0.1:{web}"
        print(f"metrics     http://127.0.0.1:{port}/metrics")
        print(f"Prometheus  {prometheus}/alerts")
        print(f"spans       {spans}")
        print(
            f"dashboard   import {HERE / 'dashboard.json'} into Grafana, with {prometheus} as data source",
            flush=True,
        )
        fired = watch(prometheus, service)
    missing = [name for name in WANTED if name not in fired]
    if given.check and missing:
        print(f"did not fire: {', '.join(missing)}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def running_service(url: str, port: int, spans: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = {
        **os.environ,
        "WHOHOLDS": "otel",
        "WHOHOLDS_EVERY": "0.25",
        "WHOHOLDS_SERVER_LIMIT": str(MAX_CONNECTIONS - RESERVED),
        "DSN": url,
        "METRICS_PORT": str(port),
        "SPANS_FILE": str(spans),
    }
    service = subprocess.Popen([sys.executable, HERE / "service.py"], env=env)
    try:
        yield service
    finally:
        service.terminate()
        service.wait()


@contextmanager
def running_prometheus(folder: Path, port: int, web: int) -> Iterator[None]:
    configuration = folder / "prometheus.yml"
    configuration.write_text(SCRAPE.format(rules=HERE / "rules.yml", port=port))
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{web}", "--log.level=error"]
    prometheus = subprocess.Popen(command)
    try:
        yield
    finally:
        prometheus.terminate()
        prometheus.wait()


def watch(prometheus: str, service: subprocess.Popen[bytes]) -> dict[str, float]:
    """Print each alert when it first fires, until the service ends, and give them with the connections used then."""
    fired: dict[str, float] = {}
    try:
        while service.poll() is None:
            time.sleep(0.5)
            for alert in ask(prometheus, "ALERTS{alertstate='firing'}"):
                name = alert["metric"]["alertname"]
                if name not in fired:
                    used = ask(prometheus, "sum(whoholds:server:used)")
                    fired[name] = float(used[0]["value"][1]) if used else 0.0
                    print(
                        f"alert       {name}, with {fired[name]:.0f} of {MAX_CONNECTIONS - RESERVED} in use",
                        flush=True,
                    )
    except KeyboardInterrupt:
        pass
    return fired


def ask(prometheus: str, query: str) -> list[dict]:
    try:
        with urlopen(f"{prometheus}/api/v1/query?query={quote(query)}", timeout=2) as answer:
            return json.load(answer)["data"]["result"]
    except (URLError, OSError):  # it is starting
        return []


if __name__ == "__main__":
    sys.exit(main())
