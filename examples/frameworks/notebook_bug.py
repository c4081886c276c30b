"""A notebook with a slip in its SQL: the traceback that it keeps also keeps the connection, and its transaction."""

# %%
import os
import time

import psycopg2


def cars_of(user: int) -> list[tuple[int]]:
    connection = psycopg2.connect(os.environ["SHOP_URL"])
    cursor = connection.cursor()
    cursor.execute("SELECT prize FROM cars WHERE owner_id = %s", [user])
    rows = cursor.fetchall()
    connection.close()
    return rows


# %%
cars_of(7)

# %%
time.sleep(1)  # stands for the time in which somebody reads the traceback and scratches their head
