"""The children dispose of the inherited pool before they ask, without closing what the parent still uses.

source: celery/celery#1564
needs: postgres
"""

import multiprocessing
import os

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DSN"].replace("postgresql:", "postgresql+psycopg2:"))
with engine.connect() as connection:
    connection.execute(text("SELECT 1"))


def serve(request):
    engine.dispose(close=False)
    with engine.connect() as connection:
        print(connection.execute(text("SELECT :request"), {"request": request}).scalar())


context = multiprocessing.get_context("fork")
for request in range(2):
    process = context.Process(target=serve, args=(request,))
    process.start()
    process.join()
