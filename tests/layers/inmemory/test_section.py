"""A thread that comes again while it is inside is refused, and nobody waits for ever."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from channels.layers.inmemory.section import Section

OPERATIONS: list[Callable[[ChannelLayer], Any]] = [
    lambda layer: layer.send("chat", {}),
    lambda layer: layer.receive(["chat"]),
    lambda layer: layer._take(layer._listening(["chat"]), 10),
    lambda layer: layer.wait_for_room("chat", 0),
    lambda layer: layer.group_add("group", "chat"),
    lambda layer: layer.group_discard("group", "chat"),
    lambda layer: layer.group_channels("group"),
    lambda layer: layer.send_group("group", {}),
    lambda layer: layer.flush(),
    lambda layer: layer.global_statistics(),
    lambda layer: layer.channels(),
    lambda layer: layer.generation(),
    lambda layer: layer.new_channel("chat?"),
]


@pytest.mark.parametrize("inner", range(len(OPERATIONS)))
@pytest.mark.parametrize("outer", [OPERATIONS[index] for index in (0, 1, 2, 4)])
def test_a_call_in_the_middle_of_another_is_refused(
    outer: Callable[[ChannelLayer], Any], inner: int
) -> None:
    """The clock is read inside, as a finaliser would be run there."""
    refused: list[bool] = []

    def clock() -> float:
        if not refused:
            refused.append(True)
            with pytest.raises(RuntimeError, match="finaliser or a signal handler"):
                OPERATIONS[inner](layer)
        return 1000.0

    layer = ChannelLayer(clock=clock)
    outer(layer)
    assert refused
    layer.flush()
    layer.send("chat", {"n": 1})
    assert layer.receive(["chat"]) == ("chat", {"n": 1})


def test_an_error_inside_leaves_the_layer_usable() -> None:
    times: list[float] = []

    def clock() -> float:
        return times.pop() if times else 1 / 0

    layer = ChannelLayer(clock=clock)
    for operation in OPERATIONS[:5]:
        with pytest.raises(ZeroDivisionError):
            operation(layer)
    times.extend([5.0] * 2)
    layer.send("chat", {"n": 1})
    assert layer.receive(["chat"]) == ("chat", {"n": 1})


def test_other_threads_wait_for_their_turn() -> None:
    section = Section()
    entered = threading.Event()

    def enter() -> None:
        with section:
            entered.set()

    with section:
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        assert not entered.wait(0.05)
        with pytest.raises(RuntimeError), section:
            pass
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert not section.busy
