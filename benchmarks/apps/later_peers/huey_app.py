"""huey's scheduled tasks."""

import os

from huey import RedisHuey

from .recording import record

huey = RedisHuey(url=os.environ["BENCH_REDIS"], results=False)


@huey.task()
def consume(due):
    record(due)


def schedule(due, delay):
    """Have it run in ``delay`` seconds."""
    consume.schedule((due,), delay=delay)
