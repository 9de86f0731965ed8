"""Sends, receives or joins groups in a process of its own; run as a script.

``traffic.py send URL PREFIX FIRST COUNT`` sends messages FIRST to FIRST + COUNT - 1 to three
channels in turn. ``traffic.py work URL PREFIX`` receives until SIGTERM, then writes the numbers
that it got, four bytes each. ``traffic.py churn URL PREFIX NAME`` has members join and leave the
group ``everybody`` until SIGTERM, then writes how often. The last two print a line when they are
ready.
"""

import itertools
import signal
import sys
from array import array
from typing import Any

from channels.layers.rabbitmq import RabbitmqChannelLayer

LISTENED = ["traffic.a", "traffic.b?x", "traffic.c!"]
SENT_TO = ["traffic.a", "traffic.b?x", "traffic.c!y"]

#: Members of one process that come and go.
COMING_AND_GOING = 20


class Stop:
    """Whether SIGTERM has come."""

    def __init__(self, layer: RabbitmqChannelLayer) -> None:
        self.has_come = False
        self._layer = layer
        signal.signal(signal.SIGTERM, self._come)

    def _come(self, *_: Any) -> None:
        self.has_come = True
        self._layer.interrupt()


def send(layer: RabbitmqChannelLayer, first: int, count: int) -> None:
    for number in range(first, first + count):
        channel = SENT_TO[number % len(SENT_TO)]
        while True:
            try:
                layer.send(channel, {"n": number})
                break
            except layer.ChannelFull:
                if not layer.wait_for_room(channel, 30):
                    raise


def work(layer: RabbitmqChannelLayer) -> None:
    stop = Stop(layer)
    print("ready", flush=True)
    numbers = array("I")
    while True:
        token = layer.interruption
        if stop.has_come:
            break
        _, message = layer.receive(LISTENED, block=True, interruption=token)
        if message is not None:
            numbers.append(message["n"])
    sys.stdout.buffer.write(numbers.tobytes())


def churn(layer: RabbitmqChannelLayer, name: str) -> None:
    stop = Stop(layer)
    for number in itertools.count():
        if number == 1:
            print("ready", flush=True)
        if stop.has_come:
            break
        member = f"{name}!{number % COMING_AND_GOING}"
        layer.group_add("everybody", member)
        layer.group_discard("everybody", f"{name}!{(number + 1) % COMING_AND_GOING}")
    sys.stdout.buffer.write(array("I", [number]).tobytes())


def main(role: str, url: str, prefix: str, *arguments: str) -> None:
    layer = RabbitmqChannelLayer(url, prefix=prefix, expiry=600, timeout=30.0)
    if role == "work":
        work(layer)
    elif role == "churn":
        churn(layer, *arguments)
    else:
        send(layer, *map(int, arguments))
    layer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
