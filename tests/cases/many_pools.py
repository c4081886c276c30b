"""Each fixture makes a pool of its own, and none is closed.

source: wazo-platform/wazo-confd#176
needs: postgres
"""

import os

from psycopg2.pool import SimpleConnectionPool

fixtures = [SimpleConnectionPool(4, 8, os.environ["DSN"]) for _ in range(6)]  # opened: too-many-at-once any x24 of 24
