"""A sqlite3 connection that was opened before the fork is used in the child, which sqlite forbids.

source: eclecticiq/OpenTAXII#253
"""

import multiprocessing
import sqlite3

connection = sqlite3.connect("taxii.db")  # opened: shared-across-fork error x1
connection.execute("CREATE TABLE service (name)")
connection.commit()


def serve():
    print(connection.execute("SELECT count(*) FROM service").fetchone())


process = multiprocessing.get_context("fork").Process(target=serve)
process.start()
process.join()
