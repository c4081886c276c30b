"""A web framework's adapter makes an executor of one worker for each request, and each worker keeps a connection.

source: gyrinx-app/gyrinx#2083
needs: postgres
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

local = threading.local()
kept = []


def view(number):
    local.connection = psycopg2.connect(os.environ["DSN"])  # opened: too-many-at-once warning x22 of 22 by view
    kept.append(local.connection)


def request(number):
    with ThreadPoolExecutor(1) as executor:
        executor.submit(view, number).result()  # spawned: view


for number in range(22):
    request(number)
for connection in kept:
    connection.close()
