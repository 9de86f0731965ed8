"""The same background work for huey."""

import os
from pathlib import Path

from huey import RedisHuey

huey = RedisHuey(url=os.environ["BENCH_REDIS"], results=False)


@huey.task()
def do_nothing(number):
    pass


@huey.task()
def finish(path):
    Path(path).touch()


enqueue, enqueue_finish = do_nothing, finish
