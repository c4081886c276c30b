"""Procrastinate on PostgreSQL: jobs that ask on a connection of their own, deferred by a program that ends by itself."""

import os
import sys

import procrastinate
import psycopg

DSN = os.environ["DSN"]
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DSN), import_paths=["procrastinate_jobs"])


@app.task(name="count")
async def count(number: int) -> None:
    """Ask on a connection of this job's."""
    async with await psycopg.AsyncConnection.connect(DSN) as connection:
        told = await (await connection.execute("SELECT %s::int", (number,))).fetchone()
    print("job", told[0], flush=True)


if __name__ == "__main__":
    deferring = app.replace_connector
    with deferring(procrastinate.SyncPsycopgConnector(conninfo=DSN)) as synchronous, synchronous.open():
        if sys.argv[1:] == ["schema"]:
            synchronous.schema_manager.apply_schema()
        for number in range(4):
            synchronous.configure_task("count").defer(number=number)
