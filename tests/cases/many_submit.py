"""Futures are submitted in a loop to an executor that is as wide as the list is long.

source: bcgov/designatedlands#45
needs: postgres
settings: TOO_MANY=10
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
TILES = range(11)
everyone = threading.Barrier(len(TILES))


def process(tile):
    # opened: too-many-at-once warning x11 by process
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [tile])
        return tile


with ThreadPoolExecutor(max_workers=len(TILES)) as executor:
    futures = {}
    for tile in TILES:
        futures[executor.submit(process, tile)] = tile  # spawned: process
    print(sum(future.result() for future in as_completed(futures)))
