"""A connection whose client reads slowly: what the core hears of the bytes that have left."""

from collections.abc import Callable

from daphne.protocol.core import Core
from daphne.protocol.operations import Timer, Upgrade, Write
from tests.daphne.cores import Script, ScriptedCore
from tests.waiting import wait_until

#: More than the kernel's buffers take.
BIG = 20_000_000


def reads_some(shell, script: Script) -> tuple[ScriptedCore, Callable[[], int]]:
    """A core that wrote ``BIG`` bytes to a client who reads some of them and then stops.

    The function sends the core a byte, and tells how many more bytes it heard to have left.
    """
    script.actions["connection_made"] = lambda core: core.emit(Write(b"x" * BIG))
    client = shell(script).connect(4096)
    core = wait_until(lambda: script.cores and script.cores[0])
    before = wait_until(lambda: core.drained_bytes)
    received = 0
    while received < before * 2:
        received += len(client.recv(65536))

    def look_again() -> int:
        client.sendall(b"x")
        return core.drained_bytes - before

    return core, look_again


def test_what_leaves_is_reported_though_the_buffer_is_never_empty(shell):
    script = Script()
    core, look_again = reads_some(shell, script)
    script.actions["receive_data"] = lambda core, data: core.emit(Write(b"y"))
    wait_until(look_again)
    assert "resume_writing" not in core.names()


def test_what_has_left_is_reported_before_a_deadline(shell):
    script = Script()
    core, look_again = reads_some(shell, script)
    drained = [core.drained_bytes]
    script.actions["timer"] = lambda core, name: drained.append(core.drained_bytes)
    script.actions["receive_data"] = lambda core, data: core.emit(Timer("now", 0.0))
    wait_until(lambda: look_again() and drained[-1] > drained[0])
    assert "resume_writing" not in core.names()


def test_a_core_put_in_place_hears_that_the_client_does_not_read(shell):
    second = Script()

    def upgrade(core: Core, data: bytes) -> None:
        core.emit(Write(b"x" * BIG))
        core.emit(Upgrade(second(core.context), b"rest"))

    client = shell(Script(receive_data=upgrade)).connect(4096)
    client.sendall(b"x")
    wait_until(lambda: second.cores and len(second.cores[0].names()) == 3)
    assert second.cores[0].names() == ["connection_made", "pause_writing", "receive_data"]
