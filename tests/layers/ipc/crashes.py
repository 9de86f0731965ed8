"""Dies at every store of an operation, and looks at what another process finds afterwards.

Run as a program of one thread, with the path of a test build of the extension and a number: its
children die at every so manieth store, and this process, their parent, is the one that recovers.
Prints, for each scenario, how many stores were died at; exits with the first thing that is wrong.
"""

import importlib.machinery
import importlib.util
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tests.layers.ipc.segments import fresh_prefix, remove

MEMORY = 1024 * 1024
QUEUES = ("one", "two", "body?x", "serv!", "other!", "late", "late!")
GROUPS = ("all", "some", "new")
EVERYTHING = Counter[tuple[str, ...]]


def load(path: str) -> ModuleType:
    """The test build, under its own name."""
    loader = importlib.machinery.ExtensionFileLoader("shm_crashing", path)
    spec = importlib.util.spec_from_loader("shm_crashing", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class World:
    """A segment that all processes of a scenario use, each through an object of its own."""

    def __init__(self, shm: ModuleType) -> None:
        self.shm = shm
        self.prefix = fresh_prefix()
        self.segment = self.attach()
        self.sleeper = shm.Sleeper()
        self.late: Any = None

    def attach(self, expiry: float = 60) -> Any:
        path = f"/dev/shm/channels-{self.prefix}"
        return self.shm.Segment(self.prefix, path, MEMORY, MEMORY, expiry, lambda queue: 20, 3)

    def names(self, *queues: str) -> Any:
        return self.shm.Names(queues)

    def state(self) -> EVERYTHING:
        """Everything that can be received, and every membership. Takes it all."""
        found: EVERYTHING = Counter()
        for queue in QUEUES:
            for name, targets, body in self.segment.take_many(self.names(queue), 1000):
                for target in targets or ("",):
                    found["message", name, target, body.decode()[:20]] += 1
        for group in GROUPS:
            found.update(("member", group, name) for name in self.segment.group_channels(group))
        return found

    def in_child(self, act: Callable[["World", Any], None], step: int) -> bool:
        """Whether a child survived ``act`` though it was to die at a store."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self.segment.after_fork()
                attached = None if act in ATTACHING else self.attach()
                self.shm.crash_at(step)
                act(self, attached)
                self.shm.crash_at(0)
                status = 0
            finally:
                os._exit(status)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, f"died of signal {os.WTERMSIG(status)}"
            return False
        assert os.WEXITSTATUS(status) == 0, "the operation failed"
        return True


# What there is before: given to the parent's segment


def nothing(world: World) -> None:
    """An empty segment."""


def some(world: World) -> None:
    """Messages of each kind, and groups."""
    push = world.segment.push
    for queue, targets in (("one", ()), ("body?x", ()), ("serv!", ("a",)), ("serv!", ("b",))):
        for number in range(3):
            push(queue, targets, f"{queue}{targets}{number}".encode())
    for member in ("a", "b", "c"):
        world.segment.group_add("all", "serv!", member, 1000)
    world.segment.group_add("all", "two", "", 1000)
    world.segment.group_add("some", "serv!", "a", 1000)
    world.segment.push_group("all", b"to all")


def big(world: World) -> None:
    """So much that memory has grown."""
    for number in range(3):
        world.segment.push("one", (), f"big{number}".encode() + bytes(100_000))


def waiting(world: World) -> None:
    """The parent waits for messages."""
    some(world)
    assert world.segment.take_one(world.names("other!", "late"), world.sleeper) is None


def dead_waiters(world: World) -> None:
    """A process that waits was killed."""
    some(world)
    pid = os.fork()
    if pid == 0:
        wait_and_die(world)
    os.waitpid(pid, 0)


def wait_and_die(world: World) -> None:
    world.segment.after_fork()
    segment = world.attach()
    sleepers = [world.shm.Sleeper() for _ in range(3)]
    for sleeper in sleepers:
        segment.take_one(world.names("other!", "late"), sleeper)
    os.kill(os.getpid(), signal.SIGKILL)


def late(world: World) -> None:
    """Messages and memberships that are over, and were not looked at since."""
    some(world)
    segment = world.late = world.attach(0.02)
    for queue, targets in (("late", ()), ("late!", ("a",)), ("late!", ("b",))):
        for member in targets or ("",):
            segment.group_add("some", queue, member, 1000)
        segment.push(queue, targets, b"late")
    segment.group_add("new", "one", "", 0.02)
    end = time.monotonic() + 0.021
    while time.monotonic() < end:
        pass  # the deadlines are over when this is


# What the child does


def push(world: World, segment: Any) -> None:
    segment.push("one", (), b"new")


def push_to_a_new_channel(world: World, segment: Any) -> None:
    segment.push("two", (), b"new")


def push_to_a_target(world: World, segment: Any) -> None:
    segment.push("other!", ("x",), b"new")


def push_much(world: World, segment: Any) -> None:
    segment.push("two", (), b"much" + bytes(20_000))


def take_one(world: World, segment: Any) -> None:
    segment.take_one(world.names("nothing", "one"))


def take_the_last(world: World, segment: Any) -> None:
    segment.take_one(world.names("two"))


def take_a_target(world: World, segment: Any) -> None:
    for _ in range(6):
        segment.take_one(world.names("serv!"))
    segment.take_one(world.names("serv!"))


def take_many(world: World, segment: Any) -> None:
    segment.take_many(world.names("one", "serv!"), 100)


def push_to_a_group(world: World, segment: Any) -> None:
    segment.push_group("all", b"new")


def join_a_group(world: World, segment: Any) -> None:
    segment.group_add("new", "other!", "x", 1000)


def renew_a_membership(world: World, segment: Any) -> None:
    segment.group_add("all", "serv!", "a", 1000)


def leave_a_group(world: World, segment: Any) -> None:
    segment.group_discard("some", "serv!", "a")


def push_past_the_dead(world: World, segment: Any) -> None:
    pid = os.fork()
    if pid == 0:
        world.shm.crash_at(0)
        wait_and_die(world)
    os.waitpid(pid, 0)
    segment.push("other!", ("x",), b"new")


def expire_what_is_late(world: World, segment: Any) -> None:
    world.attach().queues()


def flush(world: World, segment: Any) -> None:
    segment.flush()


def announce(world: World, segment: Any) -> None:
    segment.announce("worker", ["one", "two"], 60)
    segment.announce("worker", ["one"], 60)
    segment.announce("worker", [], 60)


def wait_and_give_up(world: World, segment: Any) -> None:
    sleeper = world.shm.Sleeper()
    segment.take_one(world.names("two", "other!"), sleeper)
    segment.take_one(world.names("late"), sleeper)
    segment.withdraw(sleeper)
    del sleeper


def come_and_go(world: World, segment: Any) -> None:
    world.attach().close()


def look(world: World, segment: Any) -> None:
    world.attach().queues()


#: Acts that attach to the segment themselves, so that they may die at that.
ATTACHING = (expire_what_is_late, come_and_go, look)


class Scenario(NamedTuple):
    """``atomic``: afterwards all of it has happened, or nothing. ``stride``: die at every so
    manieth store only."""

    prepare: Callable[[World], None]
    act: Callable[[World, Any], None]
    atomic: bool = True
    stride: int = 1


SCENARIOS = [
    Scenario(nothing, push, stride=3),
    Scenario(some, push),
    Scenario(some, push_to_a_new_channel),
    Scenario(nothing, push_to_a_target, stride=3),
    Scenario(waiting, push_to_a_target),
    Scenario(waiting, push_past_the_dead),
    Scenario(some, push_past_the_dead, stride=3),
    Scenario(big, push_much, stride=3),
    Scenario(some, take_one),
    Scenario(some, take_the_last),
    Scenario(big, take_one, stride=5),
    Scenario(some, take_a_target, atomic=False),
    Scenario(some, take_many, atomic=False),
    Scenario(some, push_to_a_group, atomic=False),
    Scenario(nothing, join_a_group, stride=3),
    Scenario(some, join_a_group),
    Scenario(some, renew_a_membership),
    Scenario(some, leave_a_group),
    Scenario(late, expire_what_is_late, atomic=False),
    Scenario(some, flush, stride=37),
    Scenario(some, announce),
    Scenario(some, wait_and_give_up, stride=2),
    Scenario(waiting, come_and_go),
    Scenario(dead_waiters, come_and_go),
]


def invariants(world: World, where: str) -> None:
    wrong = world.segment.check()
    assert wrong is None, f"{where}: {wrong}"


def between(found: EVERYTHING, before: EVERYTHING, after: EVERYTHING, atomic: bool) -> bool:
    if atomic:
        return found in (before, after)
    low, high = before & after, before | after
    return low <= found <= high


def outcome(shm: ModuleType, scenario: Scenario, step: int, recover_at: int = 0) -> Any:
    """Whether the child survived, and what there is then. With ``recover_at`` a second child dies
    while it recovers; None where it did not."""
    world = World(shm)
    try:
        scenario.prepare(world)
        survived = world.in_child(scenario.act, step)
        if recover_at and world.in_child(look, recover_at):
            return None
        invariants(world, f"{scenario.act.__name__} at store {step}, {recover_at}")
        told_to_look_again(world, scenario, step)
        state = world.state()
        invariants(world, f"{scenario.act.__name__} at store {step}, emptied")
        return survived, state
    finally:
        del world.sleeper, world.late
        world.segment.close()
        remove(world.prefix)


def told_to_look_again(world: World, scenario: Scenario, step: int) -> None:
    """A sleeper that waited finds a message that came, though its sender died."""
    if scenario.prepare is not waiting:
        return
    names = world.names("other!", "late")
    found = world.segment.await_one(names, world.sleeper, time.monotonic() + 0.001)
    if found:  # for the comparison it is to be there still
        world.segment.push(*found)


def die_everywhere(shm: ModuleType, scenario: Scenario, first: int, every: int) -> int:
    """Die at each store, or from the ``first`` on at every so manieth; returns at how many."""
    _, before = outcome(shm, Scenario(scenario.prepare, nothing_at_all), 0)
    _, after = outcome(shm, scenario, 0)
    for number, step in enumerate(itertools.count(first, scenario.stride * every)):
        survived, found = outcome(shm, scenario, step)
        if survived:
            assert found == after
            return number
        assert between(found, before, after, scenario.atomic), (
            f"{scenario.act.__name__} at store {step}: {found - before} came, "
            f"{before - found} went; complete: {after - before}, {before - after}"
        )
    raise AssertionError("never reached")


def nothing_at_all(world: World, segment: Any) -> None:
    """The act of those who only look at the preparation."""


def die_while_recovering(
    shm: ModuleType, scenario: Scenario, step: int, first: int, every: int
) -> int:
    """Die at a store, then at some of the stores of the recovery; returns at how many."""
    _, before = outcome(shm, Scenario(scenario.prepare, nothing_at_all), 0)
    _, after = outcome(shm, scenario, 0)
    for number, recover_at in enumerate(itertools.count(first, 61 * every)):
        ended = outcome(shm, scenario, step, recover_at)
        if ended is None:
            return number
        assert between(ended[1], before, after, False), f"recovery at store {recover_at}"
    raise AssertionError("never reached")


def main(path: str, every: int, recovering: bool) -> None:
    shm = load(path)
    died: dict[str, int] = {}
    for scenario in SCENARIOS:
        name = f"{scenario.act.__name__} ({scenario.prepare.__name__})"
        if not recovering:
            died[name] = die_everywhere(shm, scenario, 1 + len(died) % min(every, 3), every)
        elif scenario.prepare in (some, late) and scenario.stride == 1:
            died[name] = die_while_recovering(shm, scenario, 8, 1 + 4 * len(died), every)
    print(json.dumps(died))


if __name__ == "__main__":
    main(str(Path(sys.argv[1])), int(sys.argv[2]), "--recovering" in sys.argv)
