"""Pony's sessions end before another service is called; each thread keeps a connection until it ends.

source: ponyorm/pony#615
settings: IDLE_IN_TRANSACTION=0.3 EVERY=0.1
"""

import os
import threading
import time

from pony.orm import Database, Required, count, db_session

db = Database()


class Car(db.Entity):
    name = Required(str)


db.bind(provider="sqlite", filename=os.path.abspath("shop.db"), create_db=True)
db.generate_mapping(create_tables=True)


def call_another_service():
    time.sleep(0.6)


@db_session
def write(name):
    Car(name=name)
    return count(car for car in Car)


def handle(name):
    write(name)
    call_another_service()
    write(name)


threads = [threading.Thread(target=handle, args=(name,)) for name in ("mini", "polo", "ibiza")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
