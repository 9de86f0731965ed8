"""Writes random bytes over segments and uses them: errors or answers, never a crash or a hang.

Run as a program: ``scribbles.py SEED NUMBER``; a crash ends it, and the seed says how to repeat it.
"""

import contextlib
import faulthandler
import os
import random
import sys
from collections.abc import Callable
from typing import Any

from channels._speedups import shm
from channels.exceptions import ChannelLayerError
from channels.layers.ipc.segments import path_of
from tests.layers.ipc.segments import fresh_prefix, remove

MEMORY = 1024 * 1024
QUEUES = ("one", "two", "body?x", "serv!", "other!")


def attach(prefix: str) -> shm.Segment:
    path = str(path_of(prefix))
    return shm.Segment(prefix, path, MEMORY, MEMORY, 60, lambda queue: 10, 0.02)


def fill(segment: shm.Segment, sleepers: list[shm.Sleeper]) -> None:
    """Something of each kind."""
    for number in range(5):
        segment.push("one", (), bytes(random.randrange(9000)))
        segment.push("serv!", (f"t{number}",), b"x" * 20)
        segment.group_add("all", "serv!", f"t{number}", 1000)
        segment.group_add(f"g{number}", "two", "", 1000)
    segment.push_group("all", b"to all")
    segment.announce("worker", ["one", "two"], 60)
    for sleeper in sleepers:
        segment.take_one(shm.Names(["two", "other!"]), sleeper)


def operations(segment: shm.Segment, sleeper: shm.Sleeper) -> list[Callable[[], Any]]:
    """Everything that a layer does."""
    names = shm.Names(QUEUES)
    return [
        lambda: segment.push("one", (), b"y" * 300),
        lambda: segment.push("new", (), b"y" * 9000),
        lambda: segment.push("other!", ("a", "b"), b"y"),
        lambda: segment.take_one(names),
        lambda: segment.take_one(shm.Names(["none"]), sleeper),
        lambda: segment.withdraw(sleeper),
        lambda: segment.take_many(names, 3),
        lambda: segment.room("one"),
        lambda: segment.room("one", sleeper),
        lambda: segment.group_add("all", "serv!", "t1", 1000),
        lambda: segment.group_add("new", "serv!", "x", 1000),
        lambda: segment.group_discard("all", "serv!", "t2"),
        lambda: segment.group_channels("all"),
        lambda: segment.push_group("all", b"more"),
        lambda: segment.exists("serv!", "t9"),
        lambda: segment.queues(),
        lambda: segment.generation("serv!"),
        lambda: segment.statistics("one"),
        lambda: segment.statistics(None),
        lambda: segment.announce("worker", ["one"], 60),
        lambda: segment.announce("other", ["two"], 60),
        lambda: segment.is_listened_to("one"),
        lambda: segment.check(),
        lambda: segment.describe(),
        lambda: segment.await_one(names, sleeper, 0),
    ]


def scribble(prefix: str) -> None:
    """Overwrite some places, most of them where something is."""
    path = path_of(prefix)
    size = path.stat().st_size
    fd = os.open(path, os.O_RDWR)
    try:
        for _ in range(random.choice([1, 1, 3, 30])):
            begin = random.choice([0, 0, 4096, 130_000, size - 18 * MEMORY, size - 17 * MEMORY])
            at = begin + random.randrange(random.choice([700, 3000, 20_000, 200_000]))
            length = random.choice([1, 2, 4, 4, 8, 64])
            if random.random() < 0.3:  # something that looks like a number or a reference
                data = random.choice([0, 1, 2, 7, 255, 65535, 2**31]).to_bytes(4, "little")
            else:
                data = random.randbytes(length)
            os.pwrite(fd, data, min(max(at, 0) & ~3, size - 64))
    finally:
        os.close(fd)


def one_round() -> None:
    prefix = fresh_prefix()
    try:
        segment = attach(prefix)
        sleepers = [shm.Sleeper() for _ in range(3)]
        fill(segment, sleepers)
        scribble(prefix)
        for used in (segment, None):
            with contextlib.suppress(ChannelLayerError):
                used = used or attach(prefix)
                acts = operations(used, random.choice([sleepers[0], shm.Sleeper()]))
                random.shuffle(acts)
                for act in acts:
                    with contextlib.suppress(ChannelLayerError):
                        act()
        with contextlib.suppress(ChannelLayerError):
            segment.flush()
            assert segment.check() is None, segment.check()
    finally:
        remove(prefix)


def main(seed: int, number: int) -> None:
    faulthandler.enable()
    for each in range(seed, seed + number):
        random.seed(each)
        faulthandler.dump_traceback_later(20, exit=True)
        print(each, file=sys.stderr, flush=True)
        one_round()
    print("done")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
