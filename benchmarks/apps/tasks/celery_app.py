"""The same background work for Celery."""

import os
from pathlib import Path

from celery import Celery

app = Celery(broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True


@app.task
def do_nothing(number):
    pass


@app.task
def finish(path):
    Path(path).touch()


enqueue, enqueue_finish = do_nothing.delay, finish.delay
