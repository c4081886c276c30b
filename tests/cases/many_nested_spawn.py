"""Three region threads start four city threads each, and every city opens a connection.

source: mitodl/micromasters#2219
needs: postgres
settings: TOO_MANY=10
"""

import os
import threading
from contextlib import closing

import psycopg2

DSN = os.environ["DSN"]
everyone = threading.Barrier(12)


def load_city(city):
    # opened: too-many-at-once warning x12 by city
    with closing(psycopg2.connect(DSN)) as connection, connection.cursor() as cursor:
        everyone.wait(20)
        cursor.execute("SELECT %s", [city])


def load_region(region):
    cities = [threading.Thread(target=load_city, args=(f"{region}{number}",)) for number in range(4)]
    for city in cities:
        city.start()  # spawned: city
    for city in cities:
        city.join()


regions = [threading.Thread(target=load_region, args=(region,)) for region in "abc"]
for region in regions:
    region.start()
for region in regions:
    region.join()
