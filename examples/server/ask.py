"""Runs the shop and the price list on one server, and asks it who holds its connections.

ask.txt is what it printed with 95 as its argument: how many seconds it lets them run. By default it asks at once.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from shop_database import shop_database  # noqa: E402


def main(seconds: float) -> None:
    tagged = {**os.environ, "WHOHOLDS": "1", "WHOHOLDS_TAG": "1"}
    with shop_database() as url, ExitStack() as end:
        for program in ("prices.py", "shop.py"):
            command = [sys.executable, program, url]
            pipe = subprocess.PIPE
            running = subprocess.Popen(command, cwd=FOLDER, env=tagged, stdin=pipe, stdout=pipe, stderr=pipe)
            end.enter_context(running)
            end.callback(running.kill)
            if program == "prices.py":
                running.stdout.readline()
        with closing(psycopg2.connect(url, application_name="cron")):
            wait_for_the_shop(url)
            time.sleep(seconds)
            print("$ whoholds server", url, flush=True)
            subprocess.run([sys.executable, "-m", "whoholds", "server", url], check=True)


def wait_for_the_shop(url: str) -> None:
    """Return when all of its workers are connected, and two of them wait for the row."""
    question = """
    SELECT count(*) >= 11 AND count(*) FILTER (WHERE wait_event_type = 'Lock') = 2
    FROM pg_stat_activity WHERE usename = current_user
    """  # eight of the shop, one of the price list, cron, and this one
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        answer = (False,)
        while answer == (False,):
            time.sleep(0.01)
            cursor.execute(question)
            answer = cursor.fetchone()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0)
