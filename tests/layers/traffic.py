"""Sends, receives or joins groups in processes of their own, whose counts tests compare.

As a script: ``traffic.py ROLE LAYER ARGUMENTS ...``, with the dotted path of the layer's class and
its keyword arguments in JSON. ``send ... FIRST COUNT`` sends messages FIRST to FIRST + COUNT - 1 to
three channels in turn. ``work ...`` receives until SIGTERM, then writes the numbers that it got,
four bytes each. ``churn ... NAME`` has members join and leave the group ``everybody`` until
SIGTERM, then writes how often. The last two print a line when they are ready.
"""

import importlib
import itertools
import json
import signal
import subprocess
import sys
from array import array
from typing import Any

__all__ = ["LISTENED", "Process"]

LISTENED = ["traffic.a", "traffic.b?x", "traffic.c!"]
SENT_TO = ["traffic.a", "traffic.b?x", "traffic.c!y"]

#: Members of one process that come and go.
COMING_AND_GOING = 20


class Process:
    """A process that runs this file; ``layer`` is of the class that it uses."""

    def __init__(
        self, role: str, layer: Any, arguments: dict[str, Any], *numbers: int | str
    ) -> None:
        path = f"{type(layer).__module__}.{type(layer).__qualname__}"
        # -P: folders beside this file have names of packages
        command = [sys.executable, "-P", __file__, role, path, json.dumps(arguments)]
        self._process = subprocess.Popen([*command, *map(str, numbers)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._output = self._process.stdout

    def wait_until_ready(self) -> None:
        assert self._output.readline() == b"ready\n"

    def numbers(self) -> "array[int]":
        """What it writes in the end, after SIGTERM."""
        self._process.terminate()
        output = self._output.read()
        self.succeeds(60)
        return array("I", output)

    def succeeds(self, timeout: float) -> None:
        assert self._process.wait(timeout) == 0

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()


class Stop:
    """Whether SIGTERM has come."""

    def __init__(self, layer: Any) -> None:
        self.has_come = False
        self._layer = layer
        signal.signal(signal.SIGTERM, self._come)

    def _come(self, *_: Any) -> None:
        self.has_come = True
        self._layer.interrupt()


def send(layer: Any, first: str, count: str) -> None:
    for number in range(int(first), int(first) + int(count)):
        channel = SENT_TO[number % len(SENT_TO)]
        while True:
            try:
                layer.send(channel, {"n": number})
                break
            except layer.ChannelFull:
                if not layer.wait_for_room(channel, 30):
                    raise


def work(layer: Any) -> None:
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


def churn(layer: Any, name: str) -> None:
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


def main(role: str, path: str, arguments: str, *rest: str) -> None:
    module, _, name = path.rpartition(".")
    layer = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    {"send": send, "work": work, "churn": churn}[role](layer, *rest)
    layer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
