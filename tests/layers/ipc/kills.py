"""Kills processes at random moments, and accounts for every message.

Run as a program of one thread: ``kills.py load|quiet NUMBER``. Its children are forked from it with
all modules loaded. They write down what they do, each line by one ``write``, which outlives them.

Under load, senders and readers are killed while messages flow. In quiet, one process is killed and
then nothing more is sent: what waits has to reach a reader that is asleep.
"""

import asyncio
import contextlib
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import bell_paths
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.waiting import wait_until

CHANNELS = ["work.a", "work.b", "work.c!"]
TARGETS = ["work.a", "work.b", "work.c!x"]
SENDERS, READERS = 2, 3


class Book:
    """What every process did: lines appended to one file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (for the whole run)
        self._fd = os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_WRONLY | os.O_APPEND)

    def write(self, what: str, who: int, number: int) -> None:
        os.write(self._fd, f"{what} {who}.{number}\n".encode())

    def read(self) -> dict[str, Counter[str]]:
        self._file.seek(0)
        found: dict[str, Counter[str]] = {"tries": Counter(), "sent": Counter(), "got": Counter()}
        for line in self._file.read().decode().splitlines():
            what, message = line.split()
            found[what][message] += 1
        return found


class Run:
    """The processes around one segment."""

    def __init__(self) -> None:
        self.layer = IPCChannelLayer(fresh_prefix(), capacity=20)
        self.book = Book()
        self.stopped = mmap.mmap(-1, 1)
        self.children: dict[int, Callable[[int], None]] = {}
        self.readers_killed = 0
        self._serial = 0

    def start(self, role: Callable[[int], None]) -> int:
        self._serial += 1
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            random.seed()
            try:
                role(self._serial)
            finally:
                os._exit(0)
        self.children[pid] = role
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        role = self.children.pop(pid)
        self.readers_killed += role != self.sender and role != self.burst

    def reap(self, pid: int) -> None:
        os.waitpid(pid, 0)
        del self.children[pid]

    # Roles

    def sender(self, who: int) -> None:
        """Sends as fast as there is room."""
        number = 0
        while not self.stopped[0]:
            number += 1
            self.send(who, number)

    def burst(self, who: int) -> None:
        """Sends a few messages."""
        for number in range(random.randrange(1, 8)):
            self.send(who, number)

    def send(self, who: int, number: int) -> None:
        channel = random.choice(TARGETS)
        self.book.write("tries", who, number)
        while True:
            try:
                self.layer.send(channel, {"id": f"{who}.{number}", "text": "x" * number})
                break
            except self.layer.ChannelFull:
                self.layer.wait_for_room(channel, 1)
        self.book.write("sent", who, number)

    def reader(self, who: int) -> None:
        """A worker: blocks on all channels."""
        while True:
            _, message = self.layer.receive(CHANNELS, block=True)
            self.note(message)

    def loop(self, who: int) -> None:
        """A reader that sleeps in an event loop, and is woken by a bell."""

        async def read() -> None:
            while True:
                _, message = await self.layer.receive_async(CHANNELS)
                self.note(message)

        asyncio.run(read())

    def note(self, message: dict[str, Any] | None) -> None:
        if message is not None:
            who, number = message["id"].split(".")
            self.book.write("got", int(who), int(number))

    # The end

    def drained(self) -> bool:
        return self.layer.global_statistics()["messages_pending"] == 0

    def audit(self) -> dict[str, int]:
        """No message twice; none lost but those in the hands of readers that were killed."""
        wait_until(self.drained, 30)
        for pid in list(self.children):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.readers_killed += len(self.children)  # asleep, unless the last message is just noted
        wrong = self.layer._segment.check()
        assert wrong is None, wrong
        book = self.book.read()
        twice = [message for message, count in book["got"].items() if count > 1]
        assert not twice, f"delivered twice: {twice}"
        unheard_of = set(book["got"]) - set(book["tries"])
        assert not unheard_of, f"never sent: {unheard_of}"
        lost = set(book["sent"]) - set(book["got"])
        assert len(lost) <= self.readers_killed, f"lost {len(lost)}: {self.readers_killed} killed"
        found = self.layer._segment.describe()
        assert found["message_memory_granted"] <= 2 * 1024 * 1024, "memory leaked"
        IPCChannelLayer(self.layer.prefix).close()  # whoever comes forgets the dead
        found = self.layer._segment.describe()
        assert found["clients"] == 1, f"{found['clients']} clients of processes that are gone"
        assert found["readers_waiting"] == found["senders_waiting"] == 0
        assert not bell_paths(self.layer.prefix), "FIFOs of processes that are gone"
        return {"sent": len(book["sent"]), "lost": len(lost), "recoveries": found["recoveries"]}

    def close(self) -> None:
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.layer.close()
        remove(self.layer.prefix)


def under_load(run: Run, kills: int) -> None:
    """Kill a random process every few milliseconds, and start another in its place."""
    for _ in range(SENDERS):
        run.start(run.sender)
    for _ in range(READERS - 1):
        run.start(run.reader)
    run.start(run.loop)
    for _ in range(kills):
        moment = time.monotonic() + random.random() * 0.02
        sent = run.layer.global_statistics()["messages_count"]
        wait_until(lambda begin=sent: run.layer.global_statistics()["messages_count"] > begin, 30)
        while time.monotonic() < moment:
            pass  # a random moment, not a wait for anything
        pid = random.choice(list(run.children))
        role = run.children[pid]
        run.kill(pid)
        run.start(role)
    run.stopped[0] = 1
    for pid in [pid for pid, role in run.children.items() if role == run.sender]:
        run.reap(pid)


def in_quiet(run: Run, kills: int) -> None:
    """Kill one of: a reader that sleeps, one that was just woken, a sender amid a few messages."""
    for _ in range(READERS - 1):
        run.start(run.reader)
    run.start(run.loop)
    for _ in range(kills):
        wait_until(lambda: run.layer._segment.describe()["readers_waiting"] >= READERS, 30)
        sender = run.start(run.burst)
        moment = time.monotonic() + random.random() * random.choice([0.0, 0.002, 0.006])
        while time.monotonic() < moment:
            pass  # a random moment, not a wait for anything
        victim = random.choice(list(run.children))
        if victim != sender:
            run.reap(sender)
        role = run.children[victim]
        run.kill(victim)
        wait_until(run.drained, 10)  # nobody sends any more
        if victim != sender:
            run.start(role)


def main(mode: str, kills: int) -> None:
    run = Run()
    try:
        (under_load if mode == "load" else in_quiet)(run, kills)
        print(json.dumps(run.audit() | {"kills": kills}))
    finally:
        run.close()


if __name__ == "__main__":
    assert Path("/proc/self/fd").is_dir()
    main(sys.argv[1], int(sys.argv[2]))
