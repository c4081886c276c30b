"""The cure of notebook_bug.py: closing() closes the connection although the traceback still refers to it."""

# %%
import os
import time
from contextlib import closing

import psycopg2


def cars_of(user: int) -> list[tuple[int]]:
    with closing(psycopg2.connect(os.environ["SHOP_URL"])) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT prize FROM cars WHERE owner_id = %s", [user])
        return cursor.fetchall()


# %%
cars_of(7)

# %%
time.sleep(1)  # stands for the time in which somebody reads the traceback and scratches their head
