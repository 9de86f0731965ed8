"""Celery's tasks with an ETA."""

import os

from celery import Celery

from .recording import record

app = Celery(broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True


@app.task
def consume(due):
    record(due)


def schedule(due, delay):
    """Have it run in ``delay`` seconds."""
    consume.apply_async((due,), countdown=delay)
