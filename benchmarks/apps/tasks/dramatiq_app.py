"""The same background work for dramatiq."""

import os
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


@dramatiq.actor
def do_nothing(number):
    pass


@dramatiq.actor
def finish(path):
    Path(path).touch()


enqueue, enqueue_finish = do_nothing.send, finish.send
