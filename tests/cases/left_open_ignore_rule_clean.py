"""The same threads again, ignored by a setting that names rule, file and function.

source: r-spade/ormah#83
needs: postgres
settings: IGNORE=left-open@*left_open_ignore_rule_clean.py:maintain
"""

import os
import threading

import psycopg2

DSN = os.environ["DSN"]
connections = []


def maintain():
    connection = psycopg2.connect(DSN)
    connections.append(connection)


threads = [threading.Thread(target=maintain) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
