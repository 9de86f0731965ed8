"""Tests of ``runworker`` with limits: a keeper that replaces its worker, in order or by force.

The workers are real processes over Redis, so that what one of them leaves is there for the next.
"""

import os
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.layers.redis import RedisChannelLayer
from channels.management.commands.runworker import limits_of
from tests.management.project import Process, Project
from tests.management.test_runworker import options
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

ROUTING = """
import os, re, socket, time
from pathlib import Path

def write(name, text):
    descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (text + "\\n").encode())
    os.close(descriptor)

def hang_in_python():
    while True:
        pass

def hang_in_c():  # which holds the interpreter's lock for ever
    re.match(r"(a+)+$", "a" * 60 + "b")

def hang_in_sleep():
    time.sleep(3600)

def hang_in_a_socket():
    one, other = socket.socketpair()
    one.recv(1)

def hang(message):
    write("begun", message["how"])
    globals()[message["how"]]()

def record(message):
    write("recorded", f"{message['number']} {os.getpid()}")

def leave(message):
    os._exit(7)

kept = []

def leak(message):
    kept.append(bytearray(os.urandom(1024)) * (message["MiB"] * 1024))
    record(message)

def slow(message):
    write("begun", str(os.getpid()))
    while not Path(message["until"]).exists():
        time.sleep(0.01)
    record(message)

channel_routing = {
    "hang": hang, "record": record, "leave": leave, "leak": leak, "slow": slow,
}
"""

HANGS = ["hang_in_python", "hang_in_c", "hang_in_sleep", "hang_in_a_socket"]


class Kept:
    """A project over Redis, workers of it, and its layer in this process."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.prefix = f"limits{secrets.token_hex(4)}:"
        config = {"hosts": [server.url], "prefix": self.prefix, "capacity": 1000}
        self.layer = RedisChannelLayer(**config)
        layer = {
            "BACKEND": "channels.layers.redis.RedisChannelLayer",
            "CONFIG": config,
            "ROUTING": "routing.channel_routing",
        }
        self.project = Project(folder, f"DEBUG = False\nCHANNEL_LAYERS = {{'default': {layer!r}}}")
        self.project.write("routing.py", ROUTING)

    def start(self, *arguments: str) -> Process:
        """A worker that is ready."""
        keeper = self.project.start("runworker", *arguments)
        keeper.wait_for(r"Process \d+ is ready")
        return keeper

    def recorded(self) -> dict[int, int]:
        """By which process each number was recorded; none may be recorded twice."""
        path = self.project.folder / "recorded"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [(int(number), int(pid)) for number, pid in map(str.split, lines)]
        assert len(dict(found)) == len(found)
        return dict(found)

    def begun(self) -> list[str]:
        """What hanging and slow consumers have written, whole lines."""
        path = self.project.folder / "begun"
        return path.read_text().splitlines() if path.exists() else []

    def record(self, number: int) -> int:
        """Have a number recorded; the process that did it."""
        self.layer.send("record", {"number": number})
        wait_until(lambda: number in self.recorded(), 30)
        return self.recorded()[number]

    def end(self) -> None:
        """End all of it."""
        self.project.end()
        self.layer.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def kept(tmp_path: Path, server: RedisServer) -> Iterator[Kept]:
    one = Kept(tmp_path, server)
    yield one
    one.end()


pytestmark = pytest.mark.needs("redis-server")


def count(keeper: Process, pattern: str) -> int:
    """How often ``pattern`` is in the output."""
    return len(re.findall(pattern, keeper.output()))


def test_whatever_hangs_is_ended_by_force_and_named(kept):
    keeper = kept.start("--consumer-timeout", "0.5")

    for number, how in enumerate(HANGS, 1):
        kept.layer.send("hang", {"how": how, "reply_channel": f"reply.{how}!"})
        wait_until(lambda number=number: count(keeper, "is ended by force") == number, 30)
        keeper.wait_for(rf"1 message\(s\) that it handled are lost: hang of reply.{how}!")
        kept.record(number)

    keeper.signal(signal.SIGTERM)
    assert keeper.wait() == 0
    assert len(set(kept.recorded().values())) == len(HANGS)
    for how in HANGS:
        # What the thread did, from the consumer inwards, is in the log.
        assert re.search(rf"line \d+ in {how}\n.*line \d+ in hang\n", keeper.output())


def test_what_other_threads_do_is_finished_first_and_nothing_more_is_taken(kept):
    gate = kept.project.folder / "gate"
    keeper = kept.start("--consumer-timeout", "6", "--threads", "2")
    kept.layer.send("hang", {"how": "hang_in_sleep"})
    wait_until(lambda: len(kept.begun()) == 1, 30)
    later = time.monotonic() + 4  # so that it has that much more time than the other one
    wait_until(lambda: time.monotonic() > later)
    kept.layer.send("slow", {"number": 1, "until": str(gate)})
    wait_until(lambda: len(kept.begun()) == 2, 30)

    keeper.wait_for("a consumer runs for more than 6 s")
    gate.touch()
    second = kept.record(2)
    keeper.wait_for(r"lost: hang\n")

    assert kept.recorded()[1] != second
    assert count(keeper, "is ended by force") == 1
    assert count(keeper, "lost") == 1


def test_a_process_that_has_had_its_messages_is_replaced_and_none_is_lost(kept):
    for number in range(7):
        kept.layer.send("record", {"number": number})

    keeper = kept.start("--max_messages", "3")

    wait_until(lambda: len(kept.recorded()) == 7, 30)
    keeper.signal(signal.SIGTERM)
    assert keeper.wait() == 0
    assert sorted(Counter(kept.recorded().values()).values()) == [1, 3, 3]
    assert count(keeper, "ended with") == 0


def test_a_process_that_leaks_or_exits_is_replaced(kept):
    keeper = kept.start("--max-memory", "250M")
    first = kept.record(1)

    kept.layer.send("leak", {"number": 2, "MiB": 300})
    keeper.wait_for(rf"Process {first} is replaced: it holds \d+ MiB of memory, more than 250")
    wait_until(lambda: count(keeper, "The worker has stopped") == 1, 30)
    second = kept.record(3)
    kept.layer.send("leave", {"reply_channel": "somebody!"})
    keeper.wait_for(rf"Process {second} ended with exit code 7; another one takes its place")
    third = kept.record(4)

    assert kept.recorded()[2] == first
    assert len({first, second, third}) == 3
    assert count(keeper, "are lost") == 1
    assert count(keeper, rf"rocess {second} .* are lost: leave of somebody!") == 1


def test_a_keeper_that_is_told_to_stop_lets_the_consumer_finish(kept):
    gate = kept.project.folder / "gate"
    keeper = kept.start("--max-messages", "100")
    kept.layer.send("slow", {"number": 1, "until": str(gate)})
    wait_until(kept.begun, 30)

    os.kill(keeper.pid, signal.SIGTERM)
    keeper.wait_for("SIGTERM: the worker stops")
    gate.touch()

    assert keeper.wait() == 0
    assert 1 in kept.recorded()


def test_a_consumer_that_hangs_does_not_hold_up_the_end(kept):
    ready = kept.project.folder / "ready"
    keeper = kept.start("--consumer-timeout", "0.5", "--ready-file", str(ready))
    assert ready.read_text() == f"{keeper.pid}\n"
    kept.layer.send("hang", {"how": "hang_in_c"})
    wait_until(kept.begun, 30)

    keeper.signal(signal.SIGTERM)

    assert keeper.wait(30) == 3
    assert count(keeper, "lost: hang") == 1


def test_the_worker_of_a_keeper_that_was_killed_ends_in_order(kept):
    gate = kept.project.folder / "gate"
    keeper = kept.start("--max-messages", "100")
    kept.layer.send("slow", {"number": 1, "until": str(gate)})
    wait_until(kept.begun, 30)

    os.kill(keeper.pid, signal.SIGKILL)
    wait_until(lambda: "The keeper of this worker is gone" in keeper.output())
    gate.touch()

    wait_until(lambda: "The worker has stopped" in keeper.output())
    assert 1 in kept.recorded()


def test_a_worker_that_does_not_start_ends_its_keeper(kept):
    kept.project.write(
        "routing.py", "import os\nif 'CHANNELS_WORKER_KEEPER' in os.environ: 1 / 0\n" + ROUTING
    )
    keeper = kept.project.start("runworker", "--max-messages", "100")

    assert keeper.wait(30) == 1
    assert count(keeper, "Not started: process .* ended with exit code 1 before it was ready") == 1


# -- Options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hyphen", ["-", "_"])
def test_limits_are_read_in_either_spelling(hyphen):
    words = [
        f"--consumer{hyphen}timeout=1.5",
        f"--max{hyphen}memory=1G",
        f"--max{hyphen}messages=9",
    ]

    limits = limits_of(options(*words))

    assert (limits.consumer_timeout, limits.max_memory, limits.max_messages) == (1.5, 1 << 30, 9)


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("consumer_timeout", "0", "a number of seconds above 0, such as 30"),
        ("consumer_timeout", "soon", "a number of seconds above 0, such as 30"),
        ("max_memory", "-1M", "a size above 0, such as 300M, 1.5G or 500000000"),
        ("max_memory", "much", "a size above 0, such as 300M, 1.5G or 500000000"),
        ("max_messages", "1.5", "a whole number above 0"),
        ("max_messages", 0, "a whole number above 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(option: str, value: Any, remedy: str) -> None:
    name = "--" + option.replace("_", "-")

    with pytest.raises(CommandError, match=f"{name} must be {remedy}, not {value!r}"):
        call_command("runworker", **{option: value})


def test_limits_need_a_command_of_their_own(kept):
    kept.project.write(
        "call.py",
        "import os, django\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('runworker', max_messages=9)\n",
    )

    process = kept.project.run("call.py")

    assert process.wait() == 1
    assert "runworker must be a command of its own" in process.output()
