"""What receiving in a coroutine does beyond the demands of the conformance kit."""

import asyncio
import os
from typing import Any

from channels.layers.asyncio import AsyncioLoop, AsyncWaiter
from channels.layers.inmemory import ChannelLayer


def test_a_wake_up_for_a_closed_loop_goes_to_another() -> None:
    layer = ChannelLayer()

    async def leave_a_waiter() -> AsyncWaiter:
        waiter = AsyncWaiter()
        layer._take_one(layer._listening(["chat"]), waiter)
        return waiter

    abandoned = asyncio.run(leave_a_waiter())
    assert abandoned.notify() is False

    async def receive() -> Any:
        task = asyncio.ensure_future(layer.receive_async(["chat"]))
        await asyncio.sleep(0)
        layer.send("chat", {"n": 1})
        return await asyncio.wait_for(task, 10)

    assert asyncio.run(receive()) == ("chat", {"n": 1})


def test_many_coroutines_wait_side_by_side() -> None:
    layer = ChannelLayer(capacity=100)

    async def receive() -> list[Any]:
        tasks = [asyncio.ensure_future(layer.receive_async(["a", f"b.{n}"])) for n in range(50)]
        await asyncio.sleep(0)
        for number in range(50):
            layer.send(f"b.{number}", {"n": number})
        return await asyncio.wait_for(asyncio.gather(*tasks), 10)

    received = asyncio.run(receive())
    assert sorted(message["n"] for _, message in received) == list(range(50))
    assert not layer._readers.lines


def test_no_channels_give_nothing() -> None:
    assert asyncio.run(ChannelLayer().receive_async([])) == (None, None)


def test_the_loop_of_a_waiter_watches_descriptors() -> None:
    read, write = os.pipe()
    events: list[Any] = []

    async def watch() -> AsyncioLoop:
        loop = AsyncWaiter().event_loop
        assert loop == AsyncWaiter().event_loop
        rung = asyncio.Event()

        def look() -> None:
            events.append(os.read(read, 10))
            rung.set()

        loop.watch(read, look)
        loop.call_later(0.001, lambda: os.write(write, b"x") and None)
        await asyncio.wait_for(rung.wait(), 10)
        gone = asyncio.Event()
        loop.unwatch(read, gone.set)
        os.write(write, b"y")
        await asyncio.wait_for(gone.wait(), 10)
        assert not loop.is_closed()
        return loop

    loop = asyncio.run(watch())
    assert events == [b"x"]
    assert loop.is_closed()
    loop.unwatch(read, lambda: events.append("closed"))
    assert events == [b"x", "closed"]
    os.close(read)
    os.close(write)
