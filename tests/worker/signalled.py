"""A program whose children run workers and get signals; prints as JSON what became of each.

``python -m tests.worker.signalled SCENARIO COUNT``. Everything is imported once, then each child is
forked: a fresh interpreter for each of a hundred runs would take minutes. The tests are in
``test_signals``.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  (the settings module is named above)

django.setup()

from channels.channel import Channel  # noqa: E402
from channels.routing import route  # noqa: E402
from channels.worker import Worker, WorkerGroup  # noqa: E402
from tests.worker.workers import make_layer  # noqa: E402

#: Tells the parent: "now", or at the end a report.
Tell = Callable[[Any], None]


def random_instants(tell: Tell, seed: int) -> None:
    """A worker that is fed without a pause, or by one message when it has handled the last.

    Every third run has three threads. Reports what was sent, handled, flushed and left.
    """
    chance = random.Random(seed)
    handled: list[int] = []
    idle = threading.Event()
    fed = threading.Event()

    def consumer(message: Any) -> None:
        Channel("out", channel_layer=layer).send({"n": message["n"]})
        handled.append(message["n"])
        idle.set()

    layer = make_layer([route("in", consumer)])
    worker = WorkerGroup(layer, n_threads=3) if seed % 3 == 2 else Worker(layer)
    one_by_one = chance.random() < 0.6
    sent = 0

    def feed() -> None:
        nonlocal sent
        while not fed.is_set() and sent < 900:  # as many as both channels hold
            idle.clear()
            layer.send("in", {"n": sent})
            sent += 1
            if sent == 1:
                idle.wait()  # it runs, and has taken over the signals
                tell("now")
            if one_by_one:
                idle.wait(0.05)

    feeder = threading.Thread(target=feed)
    feeder.start()
    worker.run()
    fed.set()
    feeder.join()
    tell(
        {
            "sent": sent,
            "handled": sorted(handled),
            "flushed": sorted(drain(layer, "out")),
            "left": sorted(drain(layer, "in")),
        }
    )


def busy(tell: Tell, seed: int) -> None:
    """A worker that gets the signal while its consumer runs."""
    handled = []

    def consumer(message: Any) -> None:
        handled.append(message["n"])
        tell("now")
        while not worker.termed:
            time.sleep(0.001)  # the wait for the signal is what keeps this consumer busy
        Channel("out", channel_layer=layer).send({"n": message["n"]})

    layer = make_layer([route("in", consumer)])
    for n in range(2):
        layer.send("in", {"n": n})
    worker = Worker(layer)
    worker.run()
    tell({"handled": handled, "flushed": drain(layer, "out"), "left": drain(layer, "in")})


def idle(tell: Tell, seed: int) -> None:
    """A worker that gets the signal while it waits for a message."""
    layer = make_layer([route("in", lambda message: None)])
    receive = layer.receive

    def tell_and_receive(*args: Any, **kwargs: Any) -> Any:
        if worker.receives:  # the receive before that does not wait
            tell("now")
        return receive(*args, **kwargs)

    layer.receive = tell_and_receive
    worker = Worker(layer)
    worker.run()
    tell({"left": drain(layer, "in")})


def passed_on(tell: Tell, seed: int) -> None:
    """A worker that gets the signal from the terminal, and at once from a process manager."""
    handled = []
    came: list[int] = []

    def consumer(message: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: came.append(number))
        for count in (1, 2):
            tell("now")
            while len(came) < count:
                time.sleep(0.001)  # until the signal has come
        handled.append(message["n"])

    layer = make_layer([route("in", consumer)])
    layer.send("in", {"n": 1})
    worker = Worker(layer)
    worker._signals.grace = 3600.0
    worker.run()
    tell({"handled": handled})


def stuck(tell: Tell, seed: int) -> None:
    """A worker whose consumer never returns, and that asks for a second signal after the first."""

    def consumer(message: Any) -> None:
        tell("now")
        while not worker.termed:
            time.sleep(0.001)  # until the first signal has come
        tell("now")
        threading.Event().wait()

    layer = make_layer([route("in", consumer)])
    layer.send("in", {})
    worker = Worker(layer)
    worker._signals.grace = 0.0
    worker.run()


def lost_layer(tell: Tell, seed: int) -> None:
    """A worker that gets the signal while it waits for its layer to come back."""
    layer = make_layer([route("in", lambda message: None)])

    def receive(*args: Any, **kwargs: Any) -> Any:
        tell("now")
        raise ConnectionError("the layer is away")

    layer.receive = receive
    worker = Worker(layer)
    worker._backoff._ceiling = worker._backoff.most = 3600.0
    worker.run()
    tell({})


SCENARIOS = {f.__name__: f for f in (random_instants, busy, idle, passed_on, stuck, lost_layer)}


def drain(layer: Any, channel: str) -> list[int]:
    """The numbers of the messages that are left on ``channel``."""
    numbers = []
    receive = layer.channel_layer.receive  # not what a scenario has put in its place
    while (received := receive([channel]))[0]:
        numbers.append(received[1]["n"])
    return numbers


def run_child(scenario: str, seed: int, output: int) -> None:
    def tell(what: Any) -> None:
        os.write(output, (json.dumps(what) + "\n").encode())

    signal.alarm(60)  # a child that hangs must not outlive the tests
    code = 1
    try:
        SCENARIOS[scenario](tell, seed)
        code = 0
    finally:
        os._exit(code)  # a child must not go on as if it were the parent


def run(scenario: str, seed: int) -> dict[str, Any]:
    """Fork a child, send it a signal each time that it says "now", and collect its report."""
    chance = random.Random(seed)
    number = chance.choice([signal.SIGTERM, signal.SIGINT])
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        run_child(scenario, seed, writing)
    os.close(writing)
    result: dict[str, Any] = {"seed": seed, "signal": int(number)}
    with os.fdopen(reading) as lines:
        for line in lines:
            told = json.loads(line)
            if told != "now":
                result.update(told)
                continue
            if scenario == "random_instants":
                time.sleep(chance.uniform(0, 0.004))  # the random instant
            os.kill(pid, number)
    result["exit"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return result


if __name__ == "__main__":
    scenario, count = sys.argv[1], int(sys.argv[2])
    print(json.dumps([run(scenario, seed) for seed in range(count)]))
