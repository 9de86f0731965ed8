"""Worker threads beside a server, as ``daphne --workers`` has them."""

import threading
from collections.abc import Iterator

import pytest

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.exceptions import InvalidChannelLayerError
from channels.layers.inmemory import ChannelLayer
from channels.management.threads import WorkerThread, beside
from channels.message import Message
from channels.signals import worker_process_ready
from tests.waiting import wait_until


class Site:
    """A layer under an alias of its own, whose consumers note what they get."""

    def __init__(self) -> None:
        self.got: list[tuple[str, object]] = []
        self.go_on = threading.Event()
        self.layer = ChannelLayer()
        self.wrapper = ChannelLayerWrapper(
            self.layer,
            "threads",
            {"work": self.note, "wait": self.wait, "websocket.disconnect": self.note},
        )

    def note(self, message: Message) -> None:
        self.got.append((message.channel.name, message.content.get("n")))

    def wait(self, message: Message) -> None:
        self.got.append(("waits", None))
        self.go_on.wait(30)
        self.got.append(("waited", None))


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    earlier = channel_layers.set("threads", made.wrapper)
    yield made
    made.go_on.set()
    channel_layers.set("threads", earlier)


def test_workers_run_beside_the_server_of_a_configured_layer(site):
    told = []
    receiver = lambda sender, **kwargs: told.append(sender)  # noqa: E731
    worker_process_ready.connect(receiver)
    try:
        thread = beside(site.layer, 2)
    finally:
        worker_process_ready.disconnect(receiver)
    assert told == [thread.workers] and not thread.is_alive()
    assert "http.request" in thread.workers.channels()
    thread.start()
    site.layer.send("work", {"n": 1})
    wait_until(lambda: site.got == [("work", 1)])
    assert thread.stop(10)


def test_a_layer_that_is_not_configured_is_refused():
    with pytest.raises(InvalidChannelLayerError, match="no layer of the setting CHANNEL_LAYERS"):
        beside(ChannelLayer(), 1)


def test_a_consumer_that_runs_is_finished(site):
    thread = beside(site.wrapper, 1)
    thread.start()
    site.layer.send("wait", {})
    wait_until(lambda: site.got == [("waits", None)])
    assert not thread.finish(0.01)
    site.go_on.set()
    thread.join(10)
    assert site.got[-1] == ("waited", None)


def test_consumers_hear_of_sockets_that_ended_with_the_server(site):
    thread = WorkerThread(site.wrapper, 1)
    site.layer.send("work", {"n": 0})
    for number in range(3):
        site.layer.send("websocket.disconnect", {"n": number})
    thread.workers.stop()  # before it has begun, so that nothing is run meanwhile
    thread.start()
    assert thread.finish(10)
    assert site.got == [("websocket.disconnect", number) for number in range(3)]
