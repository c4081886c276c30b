"""Two pools of one helper, one to read and one to write, each at the size that somebody chose.

source: wazo-platform/wazo-confd#176
needs: postgres
"""

import os

from psycopg2.pool import SimpleConnectionPool


def pool():
    return SimpleConnectionPool(12, 12, os.environ["DSN"])


reader, writer = pool(), pool()
reader.closeall()
writer.closeall()
