"""Celery's prefork worker over a broker of files: one connection kept in each worker process, one for each job."""

import os
import sys
from contextlib import closing

import psycopg2
from celery import Celery
from celery.signals import worker_process_init

DSN = os.environ["DSN"]
app = Celery("celery_jobs", broker="filesystem://", backend="file://" + os.path.abspath("results"))
folders = dict.fromkeys(("data_folder_in", "data_folder_out"), "queue")
app.conf.update(broker_transport_options=folders | {"control_folder": "control"}, worker_prefetch_multiplier=1)
kept = None


@worker_process_init.connect
def connect(**_):
    """Open the connection that this worker process keeps."""
    global kept  # noqa: PLW0603 - the way in which such programs keep it
    kept = psycopg2.connect(DSN)
    kept.autocommit = True


@app.task(name="celery_jobs.count")
def count(number):
    """Ask on both connections."""
    with closing(psycopg2.connect(DSN)) as own, own, own.cursor() as cursor:
        cursor.execute("SELECT 1")
    with kept.cursor() as cursor:
        cursor.execute("SELECT %s", (number,))
        told = cursor.fetchone()[0]
    print("job", told, flush=True)
    return told


if __name__ == "__main__":
    import celery_jobs

    answers = [celery_jobs.count.delay(number) for number in range(8)]
    sys.exit(sum(answer.get(timeout=90) for answer in answers) != 28)
