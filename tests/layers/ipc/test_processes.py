"""The layer between processes: messages, wake-ups, forks, interrupts, threads."""

import asyncio
import gc
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from channels.exceptions import LayerUnavailable, SegmentRefused
from channels.layers.conformance.kit import Background
from channels.layers.conformance.wakeups import WatchedThread
from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import bell_paths, path_of
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove
from tests.reactor import in_reactor
from tests.waiting import wait_until

pytestmark = needs_extension


class Child:
    """A forked process that runs a function and tells whether it returned."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)

    def succeeds(self) -> bool:
        return os.waitpid(self.pid, 0)[1] == 0

    def stop(self, layer: IPCChannelLayer) -> None:
        """Stop it, but not while it has the lock."""
        while True:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)
            try:
                readers(layer)
            except LayerUnavailable:
                os.kill(self.pid, signal.SIGCONT)
            else:
                return

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def readers(layer: IPCChannelLayer) -> int:
    return layer._segment.describe()["readers_waiting"]


def test_messages_go_to_and_fro_between_processes():
    def answer() -> None:
        for _ in range(500):
            _, message = layer.receive(["question"], block=True, timeout=30)
            layer.send("answer", {"n": message["n"] + 1})

    with made_layer() as layer:
        child = Child(answer)
        for number in range(500):
            layer.send("question", {"n": number})
            assert layer.receive(["answer"], block=True, timeout=30) == (
                "answer",
                {"n": number + 1},
            )
        assert child.succeeds()


def test_each_process_gets_its_own_messages_and_each_message_one_process():
    def work() -> None:
        while True:
            _, message = layer.receive(["work"], block=True, timeout=30)
            if message["n"] < 0:
                return
            send(layer, "done", message | {"pid": os.getpid()})

    with made_layer(capacity=50) as layer:
        children = [Child(work) for _ in range(3)]
        sending = Background(lambda: [send(layer, "work", {"n": n}) for n in range(3000)])
        done = [layer.receive(["done"], block=True, timeout=30)[1] for _ in range(3000)]
        sending.result(30)
        for _ in children:
            send(layer, "work", {"n": -1})
        assert all(child.succeeds() for child in children)
        assert Counter(message["n"] for message in done) == Counter(range(3000))


def send(layer, channel, message):
    while True:
        try:
            return layer.send(channel, message)
        except layer.ChannelFull:
            assert layer.wait_for_room(channel, 30)


def test_what_one_process_sends_counts_in_all():
    with made_layer(capacity=3) as layer:
        assert Child(lambda: [layer.send("one", {}) for _ in range(3)]).succeeds()
        assert layer.global_statistics()["messages_count"] == 3
        with pytest.raises(layer.ChannelFull):
            layer.send("one", {})
        assert layer.channel_statistics("one")["channel_full_count"] == 1


# Waiters that die, stop or go


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_message_passes_by_a_reader_that_was_killed_in_its_sleep(kind):
    def sleep() -> None:
        if kind == "thread":
            layer.receive(["one"], block=True)
        else:
            asyncio.run(layer.receive_async(["one"]))

    with made_layer() as layer:
        for _ in range(5):
            first = Child(sleep)
            wait_until(lambda: readers(layer) == 1)
            second = Background(layer.receive, ["one"], True)
            wait_until(lambda: readers(layer) == 2)
            first.kill()
            layer.send("one", {"n": 1})
            assert second.result(10) == ("one", {"n": 1})
        assert not bell_paths(layer.prefix)


def test_a_wake_up_passes_by_a_reader_that_was_stopped():
    """It was woken, and does not look: within two seconds another reader is."""
    with made_layer() as layer:
        first = Child(lambda: layer.receive(["one"], block=True))
        wait_until(lambda: readers(layer) == 1)
        second = Background(layer.receive, ["one"], True)
        wait_until(lambda: readers(layer) == 2)
        first.stop(layer)
        layer.send("one", {"n": 1})
        assert second.result(10) == ("one", {"n": 1})
        os.kill(first.pid, signal.SIGCONT)
        layer.send("one", {"n": 2})
        assert first.succeeds()


def test_room_passes_by_a_sender_that_was_killed():
    with made_layer(capacity=1) as layer:
        layer.send("full", {})
        first = Child(lambda: layer.wait_for_room("full"))
        wait_until(lambda: layer._segment.describe()["senders_waiting"] == 2)
        second = Background(layer.wait_for_room, "full", 30)
        wait_until(lambda: layer._segment.describe()["senders_waiting"] == 4)
        first.kill()
        layer.receive(["full"])
        assert second.result(10) is True


def test_the_reactor_is_woken_by_another_process():
    with made_layer() as layer:
        for number in range(20):
            outcome = []
            in_reactor(
                lambda into=outcome: (
                    layer.receive_twisted(["one"]).addCallback(into.append) and None
                )
            )
            wait_until(lambda: readers(layer) == 1)
            assert Child(lambda n=number: layer.send("one", {"n": n})).succeeds()
            wait_until(lambda into=outcome: into)
            assert outcome == [("one", {"n": number})]
        assert len(bell_paths(layer.prefix)) == 1
        assert bell_paths(layer.prefix)[0].stat().st_mode & 0o777 == 0o600


def test_who_waits_in_the_reactor_is_told_that_the_segment_is_lost():
    """It looks after others once a second, and meets what everybody meets."""
    layer = IPCChannelLayer(fresh_prefix())
    outcome = []
    try:
        in_reactor(
            lambda: layer.receive_twisted(["one"]).addBoth(lambda it: outcome.append(it)) and None
        )
        with path_of(layer.prefix).open("r+b") as file:
            file.seek(192)  # the lock
            file.write(b"\xff" * 40)
        with pytest.raises(SegmentRefused, match=f"ipcsegment {layer.prefix} --remove"):
            layer.send("one", {})
        wait_until(lambda: outcome)
        assert outcome[0].check(SegmentRefused)
    finally:
        remove(layer.prefix)


def test_loops_that_ended_leave_no_bell():
    with made_layer() as layer:
        for number in range(5):
            sending = Background(
                lambda n=number: wait_until(lambda: readers(layer)) and layer.send("one", {"n": n})
            )
            assert asyncio.run(layer.receive_async(["one"])) == ("one", {"n": number})
            sending.result(10)
            assert len(bell_paths(layer.prefix)) == 1
        layer.close()
        assert not bell_paths(layer.prefix)


# Forks


def test_a_child_uses_nothing_of_its_parent():
    """While a thread of the parent sleeps, and holds a mapping, a client and a place to sleep."""

    def use() -> None:
        for name in ("one", "two"):
            layer.send(name, {"from": "child"})
        assert layer.receive(["one"]) == ("one", {"from": "child"})
        assert layer.receive(["nothing"], block=True, timeout=0.01) == (None, None)
        asyncio.run(asyncio.wait_for(layer.receive_async(["two"]), 10))
        layer.send("three", {})
        del globals()["_held"]
        gc.collect()

    with made_layer() as layer:
        globals()["_held"] = IPCChannelLayer(layer.prefix)
        blocked = Background(layer.receive, ["sleeping"], True)
        wait_until(lambda: readers(layer) == 1)
        assert Child(use).succeeds()
        assert layer.receive(["three"])[0] == "three"
        assert readers(layer) == 1
        layer.send("sleeping", {"n": 1})
        assert blocked.result(10) == ("sleeping", {"n": 1})
        del globals()["_held"]


@pytest.mark.parametrize("children", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_a_child_can_be_forked_while_another_thread_uses_the_layer(children):
    with made_layer(capacity=1000) as layer:
        stopped = threading.Event()

        def use() -> None:
            while not stopped.is_set():
                layer.send("busy", {})
                layer.receive(["busy"])

        busy = [Background(use) for _ in range(2)]
        try:
            for _ in range(children):
                child = Child(lambda: layer.send("one", {}) or layer.receive(["one"]))
                assert child.succeeds()
        finally:
            stopped.set()
        for one in busy:
            one.result(30)


# Interrupts, signals, finalisers


@pytest.mark.parametrize("wait", ["message", "room"])
def test_a_signal_ends_a_wait_by_its_exception(wait):
    class Ended(Exception):
        pass

    def handler(number, frame):
        raise Ended

    def waits():
        found = layer._segment.describe()
        return found["readers_waiting"] + found["senders_waiting"]

    def ring():
        wait_until(waits)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    with made_layer(capacity=1) as layer:
        layer.send("full", {})
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            ringing = Background(ring)
            with pytest.raises(Ended):
                if wait == "message":
                    layer.receive(["one"], block=True)
                else:
                    layer.wait_for_room("full")
            ringing.result(10)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert waits() == 0


def test_a_handler_may_receive_in_the_middle_of_a_receive():
    with made_layer() as layer:
        found = []

        def handler(number, frame):
            layer.send("inner", {})
            found.append(layer.receive(["inner"], block=True, timeout=10))
            layer.send("outer", {})

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            main = threading.main_thread().ident
            Background(
                lambda: (
                    wait_until(lambda: readers(layer)) and signal.pthread_kill(main, signal.SIGUSR1)
                )
            )
            assert layer.receive(["outer"], block=True, timeout=30) == ("outer", {})
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert found == [("inner", {})]


def test_finalisers_may_use_the_layer():
    class Sending:
        def __init__(self):
            self.me = self

        def __del__(self):
            layer.send("last.words", {})

    with made_layer(capacity=10_000) as layer:
        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for number in range(2000):
                Sending()
                layer.send("one", {"n": number})
                assert layer.receive(["one"]) == ("one", {"n": number})
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
        assert layer.channel_statistics("last.words")["messages_pending"] == 2000


def test_layers_that_are_collected_are_no_clients_any_more():
    with made_layer() as layer:
        for _ in range(5):
            other = IPCChannelLayer(layer.prefix)
            asyncio.run(_gives_up(other))
            assert layer._segment.describe()["clients"] == 3
            del other
            gc.collect()
        assert layer._segment.describe()["clients"] == 1
        assert not bell_paths(layer.prefix)


async def _gives_up(layer):
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(layer.receive_async(["nothing"]), 0.001)


def test_a_long_sleep_costs_one_look_a_second():
    """Threads that wait do not poll: they look after others once a second, that is all."""
    with made_layer() as layer:
        blocked = WatchedThread(layer.receive, ["quiet"], True)
        asleep = blocked.settled(0.5).activity()
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 3, 10)
        wakeups = blocked.activity() - asleep
        layer.send("quiet", {})
        assert blocked.result(10) == ("quiet", {})
        assert wakeups <= 8


# Soak


@pytest.mark.parametrize("rounds", [2000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_traffic_of_all_kinds_keeps_memory_flat(rounds):
    with made_layer(capacity=100) as layer:
        for number in range(rounds):
            everything(layer, number)
            if number == rounds // 4:
                before = measured(layer)
        after = measured(layer)
        assert after[0] <= before[0] * 1.5 + 64 * 1024, "shared memory grows"
        assert after[1] <= before[1] + 8 * 1024, "the process grows (KiB)"
        assert after[2] == before[2], "descriptors leak"


def everything(layer, number):
    name = f"body?{number}"
    layer.send(name, {"n": number, "content": b"x" * (number % 5000)})
    layer.group_add(f"group.{number % 50}", f"serv!{number % 500}")
    layer.send_group(f"group.{number % 50}", {"n": number})
    layer.group_discard(f"group.{(number + 25) % 50}", f"serv!{number % 400}")
    assert layer.receive([name])[0] == name
    while layer.receive(["serv!"])[0]:
        pass
    layer.receive(["nothing"], block=True, timeout=0)
    layer.announce_listening(f"worker.{number % 7}", [f"channel.{number % 9}"])


def measured(layer):
    gc.collect()
    used = layer._segment.describe()
    shared = sum(used[f"{part}_memory_used"] for part in ("message", "group", "wait"))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return shared, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, descriptors
