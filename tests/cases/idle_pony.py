"""Pony's session stays open, with what it wrote, while another service is called; another thread uses its own.

source: ponyorm/pony#615
settings: IDLE_IN_TRANSACTION=0.3 EVERY=0.1
"""

import os
import threading
import time

from pony.orm import Database, Required, db_session, flush

db = Database()


class Car(db.Entity):
    name = Required(str)


db.bind(provider="sqlite", filename=os.path.abspath("shop.db"), create_db=True)
db.generate_mapping(create_tables=True)


def call_another_service():
    time.sleep(1)


@db_session
def handle(name):
    Car(name=name)
    flush()  # opened: idle-in-transaction warning x1 by handle
    call_another_service()


thread = threading.Thread(target=handle, args=("mini",))
thread.start()  # spawned: handle
thread.join()
