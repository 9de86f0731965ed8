"""Backends whose threads block in a way of their own, and layers in a forked process."""

import subprocess
import sys

from channels.layers.entries import Stored
from channels.layers.inmemory import ChannelLayer
from channels.layers.waiting import Listening


class Server(ChannelLayer):
    """A layer whose server is asked once for each blocking call, as with a blocking pop."""

    def __init__(self) -> None:
        super().__init__(capacity=100)
        self.asked: list[tuple[object, float | None]] = []
        self.answers: list[Stored | None] = []

    def _await_one(
        self, listening: Listening, deadline: float | None, token: object
    ) -> Stored | None:
        self.asked.append((listening.queues, deadline))
        return self.answers.pop(0)

    def _await_room(self, queue: str, deadline: float | None) -> bool:
        self.asked.append((queue, deadline))
        return True


def test_a_blocking_receive_asks_the_backend_once() -> None:
    layer = Server()
    layer.answers = [("chat!", ("a",), b"\x81\xa1n\x01"), None]
    layer._take_one = None  # type: ignore[method-assign, assignment]  # it is not asked first
    assert layer.receive(["chat!"], block=True) == ("chat!a", {"n": 1})
    assert layer.receive(["chat!"], block=True) == (None, None)
    assert layer.asked == [(("chat!",), None)] * 2


def test_a_damaged_entry_does_not_start_the_timeout_anew() -> None:
    layer = Server()
    layer.answers = [("chat", (), b"\xc1"), ("chat", (), b"\xc1"), ("chat", (), b"\x80")]
    assert layer.receive(["chat"], block=True, timeout=5) == ("chat", {})
    assert layer.drops == 2
    assert len({deadline for _, deadline in layer.asked}) == 1


def test_a_wait_for_room_asks_the_backend_once() -> None:
    layer = Server()
    assert layer.wait_for_room("chat!a") is True
    assert layer.asked == [("chat!", None)]


FORK = """
import os, sys, threading
from channels.layers.inmemory import ChannelLayer

layer = ChannelLayer()
layer.send("chat", {"n": 1})
layer.group_add("all", "chat")
generation = layer.generation()
blocked = threading.Thread(target=layer.receive, args=(["other"], True), daemon=True)
blocked.start()
while not layer._blocked:
    pass
inside, leave = threading.Event(), threading.Event()

def hold():
    with layer._section, layer._drops._lock:
        inside.set()
        leave.wait()

threading.Thread(target=hold, daemon=True).start()
inside.wait()
child = os.fork()
if child == 0:
    assert layer.receive(["chat"]) == (None, None)
    assert layer.group_channels("all") == []
    assert layer.generation() != generation
    assert not layer._blocked
    layer.send("other", {"n": 2})
    assert layer.receive(["other"], True) == ("other", {"n": 2})
    layer.group_add("all", "full")
    for _ in range(11):
        layer.send_group("all", {})
    assert layer.drops == 1
    os._exit(0)
leave.set()
status = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(status) == 0, status
assert layer.receive(["chat"]) == ("chat", {"n": 1})
assert layer.generation() == generation
layer.send("other", {})
blocked.join(10)
assert not blocked.is_alive()
"""


def test_a_forked_process_has_an_empty_layer_of_its_own() -> None:
    """It would deliver the parent's messages twice, or wait for a lock that nobody releases."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
