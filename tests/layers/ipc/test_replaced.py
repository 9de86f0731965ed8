"""Segments that are removed while they are used: everybody goes over to the one that follows."""

import asyncio
import os
import threading

from channels.layers.conformance.kit import Background
from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import open_segment
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove
from tests.waiting import wait_until

pytestmark = needs_extension


def readers(layer):
    return layer._segment.describe()["readers_waiting"]


def test_an_event_loop_that_did_not_hear_of_it_yet_goes_over_with_all_its_waits():
    """A new wait is the first to find out; those before it are to get a place as well."""

    async def waits(layer, elsewhere):
        first = asyncio.create_task(layer.receive_async(["one"]))
        while readers(layer) != 1:
            await asyncio.sleep(0)
        open_segment(layer.prefix).retire()
        second = asyncio.create_task(layer.receive_async(["two"]))
        await asyncio.sleep(0)  # to its first look, before the loop looks at its descriptors
        for channel in ("one", "two"):
            elsewhere.send(channel, {})
        return await asyncio.wait_for(asyncio.gather(first, second), 30)

    with made_layer() as layer:
        received = asyncio.run(waits(layer, IPCChannelLayer(layer.prefix)))
        assert received == [("one", {}), ("two", {})]


def test_processes_that_make_and_remove_segments_at_once_find_one_or_make_one():
    prefix = fresh_prefix()
    children = []
    try:
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    for number in range(50):
                        layer = IPCChannelLayer(prefix)
                        layer.send("one", {"n": number})
                        assert layer._segment.check() is None
                        layer._segment.retire()
                        layer.receive(["one"])
                        layer.close()
                    status = 0
                finally:
                    os._exit(status)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
        IPCChannelLayer(prefix).close()
    finally:
        remove(prefix)


def test_threads_and_a_loop_of_one_layer_go_over_together():
    """Whatever they do at the moment, they meet no error."""
    with made_layer(capacity=1000) as layer:
        stopped = threading.Event()

        def use(name):
            while not stopped.is_set():
                layer.send(name, {})
                layer.receive([name])
                layer.receive(["nothing"], block=True, timeout=0.001)

        async def loop():
            while not stopped.is_set():
                waits = [asyncio.create_task(layer.receive_async(["for.loop"])) for _ in range(3)]
                _, pending = await asyncio.wait(waits, timeout=0.001)
                for wait in pending:
                    wait.cancel()
                for outcome in await asyncio.gather(*waits, return_exceptions=True):
                    assert isinstance(outcome, asyncio.CancelledError | tuple), outcome

        busy = [Background(use, f"one.{number}") for number in range(3)]
        busy.append(Background(asyncio.run, loop()))
        try:
            for _ in range(30):
                open_segment(layer.prefix).retire()
                before = layer._segment.generation(None)
                layer.send("for.loop", {})
                wait_until(lambda: layer.global_statistics()["messages_count"] > 3)
                assert layer._segment.generation(None) == before
        finally:
            stopped.set()
        for one in busy:
            one.result(30)


def test_a_wait_in_a_thread_goes_over():
    with made_layer() as layer:
        blocked = Background(layer.receive, ["one"], True)
        wait_until(lambda: readers(layer) == 1)
        open_segment(layer.prefix).retire()
        wait_until(lambda: readers(layer) == 1)
        IPCChannelLayer(layer.prefix).send("one", {"n": 1})
        assert blocked.result(30) == ("one", {"n": 1})
