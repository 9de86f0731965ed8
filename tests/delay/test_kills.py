"""Delay servers that are killed at random moments: nothing that was committed is lost.

The servers are forked from this process, which has everything imported, so that a kill costs
milliseconds.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest
from django.db import connections

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.delay import instants, send_later
from channels.delay.models import DelayedMessage
from channels.delay.worker import Worker
from channels.exceptions import ChannelFull
from channels.layers.ipc import IPCChannelLayer
from tests.delay.databases import ALIAS
from tests.layers.ipc.segments import fresh_prefix, needs_extension, remove
from tests.waiting import wait_until

#: Seconds that a server lives at most: it starts, stores and sends some batches in them.
LIFE = 0.1

pytestmark = needs_extension


class Killing:
    """Messages that were sent later, and those that came."""

    def __init__(self, layer: ChannelLayerWrapper) -> None:
        self.layer = layer
        self.number = 0
        #: Those that were committed for sure.
        self.committed: set[int] = set()
        #: How often each had come.
        self.received: Counter[int] = Counter()
        #: How often each may come.
        self.allowed: Counter[int] = Counter()

    def start(self) -> int:
        """Fork a delay server; returns its process number."""
        connections[ALIAS].close()
        child = os.fork()
        if child:
            return child
        try:
            Worker(self.layer, signal_handlers=False, database_sleep_duration=3600).run()
        finally:
            os._exit(1)

    def have_some_sent(self) -> None:
        """Store some messages, and have the server store some."""
        for _ in range(5):
            self.number += 1
            send_later("later", {"n": self.number}, delay=random.randrange(30))
            self.committed.add(self.number)
        for _ in range(10):
            self.number += 1
            content, delay = {"n": self.number}, random.randrange(30)
            try:
                self.layer.send(
                    "asgi.delay", {"channel": "later", "content": content, "delay": delay}
                )
            except ChannelFull:
                break  # killed servers leave it so

    def kill(self, server: int) -> None:
        """Kill it, and look what it has left."""
        self.end(server)
        left = [message.content["n"] for message in DelayedMessage.objects.all()]
        self.committed.update(left)
        self.allowed.update(left)  # each of these may have been sent, and will be once more
        self.receive()
        # What it had leased is waited for in its time; here that has passed.
        DelayedMessage.objects.filter(claimed_until__isnull=False).update(
            claimed_until=instants.now()
        )

    def end(self, server: int) -> None:
        """Kill it."""
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)

    def receive(self) -> None:
        """Count what has come."""
        while (found := self.layer.receive(["later"]))[1] is not None:
            self.received[found[1]["n"]] += 1

    def all_has_come(self) -> bool:
        waiting = self.layer.channel_statistics("asgi.delay")["messages_pending"]
        done = not waiting and not DelayedMessage.objects.exists()
        self.receive()  # afterwards: what is not in the table any more is in the layer
        return done


def kill_servers(times: int) -> None:
    """Kill so many, one after the other; see what came of it all."""
    prefix = fresh_prefix()
    layer = ChannelLayerWrapper(IPCChannelLayer(prefix=prefix, capacity=5000), "default", {})
    old = channel_layers.set("default", layer)
    killing = Killing(layer)
    server = killing.start()
    try:
        for _ in range(times):
            born = time.monotonic()
            killing.have_some_sent()
            time.sleep(max(0.0, born + random.uniform(0, LIFE) - time.monotonic()))
            killing.kill(server)
            server = killing.start()
        wait_until(killing.all_has_come, timeout=30)
    finally:
        killing.end(server)
        channel_layers.set("default", old)
        layer.close()
        remove(prefix)
    assert killing.committed - set(killing.received) == set()
    more = {n: c for n, c in killing.received.items() if c > 1 + killing.allowed[n]}
    assert not more, "sent more often than servers died with them"


def test_what_was_committed_is_sent_whenever_servers_are_killed(database):
    kill_servers(50)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_committed_is_sent_whenever_servers_are_killed_often(database):
    kill_servers(500)
