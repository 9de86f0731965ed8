"""Sends or receives numbered messages in a process of its own; run as a script.

``traffic.py send HOSTS PREFIX FIRST COUNT`` sends messages FIRST to FIRST + COUNT - 1 to three
channels in turn. ``traffic.py work HOSTS PREFIX`` receives until SIGTERM, then writes the numbers
that it got, four bytes each. Both print a line when they are ready.
"""

import json
import signal
import sys
from array import array
from typing import Any

from channels.layers.redis import RedisChannelLayer

LISTENED = ["traffic.a", "traffic.b?x", "traffic.c!"]
SENT_TO = ["traffic.a", "traffic.b?x", "traffic.c!y"]


def send(layer: RedisChannelLayer, first: int, count: int) -> None:
    for number in range(first, first + count):
        channel = SENT_TO[number % len(SENT_TO)]
        while True:
            try:
                layer.send(channel, {"n": number})
                break
            except layer.ChannelFull:
                if not layer.wait_for_room(channel, 30):
                    raise


def work(layer: RedisChannelLayer) -> None:
    stopped = False

    def stop(*_: Any) -> None:
        nonlocal stopped
        stopped = True
        layer.interrupt()

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    numbers = array("I")
    while True:
        token = layer.interruption
        if stopped:
            break
        _, message = layer.receive(LISTENED, block=True, interruption=token)
        if message is not None:
            numbers.append(message["n"])
    sys.stdout.buffer.write(numbers.tobytes())


def main(role: str, hosts: str, prefix: str, *numbers: str) -> None:
    layer = RedisChannelLayer(
        hosts=json.loads(hosts), prefix=prefix, stats_prefix=f"{prefix}meta:", expiry=600
    )
    if role == "work":
        work(layer)
    else:
        send(layer, *map(int, numbers))
    layer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
